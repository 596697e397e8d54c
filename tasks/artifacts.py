"""Prefect artifacts of a run: tables, figures and links."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from overlap.ensemble.registry import EnsembleRecord
from overlap.promotion.champion import Promotion
from overlap.reporting.history_table import history_table
from overlap.reporting.links import ResultLinks
from overlap.reporting.plots.encoding import data_address, png
from overlap.reporting.plots.run import draw_growth, draw_training
from overlap.reporting.result_tables import comparison_table, kl_table, members_table
from overlap.training.spec import MemberRecord
from overlap.workspace.history import read_history
from overlap.workspace.workspace import Workspace
from tasks.progress import copied_to_parent

VERSIONS_SHOWN = 100
"""Most versions in the table of the history."""

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def show_members(members: Sequence[MemberRecord]) -> None:
    """Show the members' training curves and costs."""
    if not members:
        return
    picture = _picture("training curves of the members", draw_training(members))
    text = "\n".join(["# Members", "", picture, "", *_markdown_table(members_table(members))])
    description = f"Training curves of {len(members)} members"
    create_markdown_artifact(text, key="members", description=description)
    copied_to_parent("markdown", text, description)


def show_ensemble(record: EnsembleRecord) -> None:
    """Show the KL table."""
    table, description = kl_table(record), f"KL of ensemble {record.version}"
    create_table_artifact(key="kl", table=table, description=description)
    copied_to_parent("table", json.dumps(table), description)


def show_comparison(promotion: Promotion) -> None:
    """Show how the new ensemble compares with the champion, and the decision."""
    table = comparison_table(promotion)
    description = f"{promotion.version}: {promotion.reason}"
    create_table_artifact(key="champion", table=table, description=description)
    copied_to_parent("table", json.dumps(table), description)


def show_run(
    workspace: Workspace,
    record: EnsembleRecord,
    promotion: Promotion,
    headline: str,
    view: str | None = None,
) -> None:
    """Show the growth of the ensemble, the history of versions, and links to the results.

    Args:
        workspace: The workspace.
        record: The ensemble of the run.
        promotion: The decision about it.
        headline: A line about the run.
        view: Address of the workspace's web page, to which the links lead; None: they lead to
            files, which a browser may refuse to open.
    """
    lines = ["# Ensemble", ""]
    drawn = draw_growth(record)
    if drawn is not None:
        lines += [_picture("KL of the ensemble as members are added", drawn), ""]
    if record.kl is not None:
        lines += [*_markdown_table(kl_table(record)), ""]
    lines += [
        f"- workspace `{workspace}`",
        f"- data `{record.data}`: "
        + ", ".join(f"{count} {name}" for name, count in record.clips.items()),
        f"- champion: {promotion.state}, {promotion.reason}",
    ]
    create_markdown_artifact("\n".join(lines), key="run", description=headline)
    versions = read_history(workspace.location)[-VERSIONS_SHOWN:]
    create_table_artifact(
        key="history",
        table=history_table(versions),
        description=f"The newest {len(versions)} versions of {workspace}, oldest first",
    )
    links = ResultLinks(workspace.location, view)
    create_link_artifact(
        links.report(record), link_text=f"report of {record.version}", key="report",
        description="Figures, charts and clips to listen to, in one HTML file",
    )  # fmt: skip
    create_link_artifact(
        links.ensemble(record), link_text=f"ensemble {record.version}", key="ensemble",
        description="Folder of the ensemble",
    )  # fmt: skip
    submission = links.submission(record)
    if submission is not None:
        create_link_artifact(
            submission, link_text="submission.csv", key="submission",
            description="Predictions for the test clips",
        )  # fmt: skip


def _markdown_table(rows: Sequence[Mapping[str, str]]) -> list[str]:
    columns = [*rows[0]]
    lines = [columns, ["---"] * len(columns), *([*row.values()] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def _picture(alternative: str, drawn: "Figure") -> str:
    # Inside a markdown artifact: an image artifact prints its whole address below the figure.
    return f"![{alternative}]({data_address('image/png', png(drawn))})"
