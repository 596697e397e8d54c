"""Terminal output of the commands: tables, named values, progress."""

import gc
import json
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from flows.cli import interruptions
from overlap.ensemble.registry import EnsembleRecord
from overlap.errors import UserError
from overlap.export.request import Exported
from overlap.features.compare import DriftRow
from overlap.io.formatting import format_bytes
from overlap.io.location import Location
from overlap.io.user_output import is_stdout
from overlap.promotion.champion import Promotion
from overlap.reporting.tables import DRIFT_LEGEND, drift_table, kl_table, relative_to_trivial
from overlap.workspace.workspace import Workspace

if TYPE_CHECKING:  # imports Prefect, which read-only commands do not need
    from tasks.features import FeatureReport

OUT = Console(markup=False, emoji=False)
ERR = Console(stderr=True, markup=False, emoji=False)
"""Without markup and emoji: file names and words may contain `[/b]` or `:x:`."""


def print_json(content: object) -> None:
    """Print one JSON object on standard output."""
    sys.stdout.write(json.dumps(content, indent=2, default=str) + "\n")


def keep_stdout_for(target: Location, *, as_json: bool) -> None:
    """Print messages on standard error from now on if the output of a command is standard output.

    Raises:
        UserError: JSON would be printed there too (`two-outputs`).
    """
    if not is_stdout(target):
        return
    if as_json:
        raise UserError(
            "--json and --out both write to standard output; leave out --json, or name a file",
            code="two-outputs",
        )
    OUT.stderr = True


def print_line(name: str, value: object) -> None:
    """Print a named value on one line of any length, so that it can be copied."""
    OUT.print(f"{name:<16}{value}", highlight=False, soft_wrap=True)


def print_next(what: str) -> None:
    """Print the suggested next step, as the last line of a command."""
    print_line("next", what)


def predict_next(workspace: str) -> None:
    """Suggest predicting with the champion, or to promote an ensemble if there is none."""
    opened = Workspace.of(workspace)
    if opened.champion():
        print_next(in_workspace("predict CLIPS --out preds.csv", workspace))
    elif records := opened.ensembles():
        chosen = in_workspace(f"models promote {records[-1].version}", workspace)
        print_next(f"no champion yet; {chosen} makes it one")


def look_next(workspace: str, model: str) -> None:
    """Suggest drawing one of the predicted clips with the same ensemble."""
    named = "" if model == "champion" else f" --model {shlex.quote(model)}"
    print_next(f"{in_workspace('show CLIP' + named, workspace)} draws one of them")


def in_workspace(command: str, workspace: object) -> str:
    """Return a command line with the workspace as an option.

    Examples:
        >>> in_workspace("predict CLIPS", "my work")
        "overlap predict CLIPS --workspace 'my work'"
    """
    return f"overlap {command} --workspace {shlex.quote(str(workspace))}"


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, whole: int = 0
) -> None:
    """Print a table; columns after the first are right-aligned, except unnamed columns of bars.

    The first `whole` columns are never wrapped, so that they can be copied from a narrow terminal.
    """
    table = Table(title=title, title_justify="left", title_style="bold", show_header=any(columns))
    for index, column in enumerate(columns):
        left, fixed = not index or not column, index < whole
        table.add_column(
            column, justify="left" if left else "right", no_wrap=fixed, overflow="fold"
        )
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    OUT.print(table)


def bars(values: Sequence[float], width: int = 16) -> list[str]:
    """Return a bar for each value, the largest `width` characters long.

    Examples:
        >>> bars([1, 2, 0.1], 4)
        ['██', '████', '▎']
    """
    largest = max(values, default=0)
    eighths = [max(1, round(8 * width * value / largest)) if largest else 0 for value in values]
    return ["█" * (n // 8) + ("▏▎▍▌▋▊▉"[n % 8 - 1] if n % 8 else "") for n in eighths]


def print_ensemble(
    workspace: str,
    record: EnsembleRecord,
    promotion: Promotion,
    features: "FeatureReport | None" = None,
    *,
    as_json: bool,
) -> None:
    """Print the result of a run: tables, addresses, and the decision about the champion."""
    paths = Workspace.of(workspace).paths
    if as_json:
        content = record.model_dump(mode="json") | {"promotion": promotion.model_dump(mode="json")}
        print_json(content | ({"drift": asdict(features)["drift"]} if features else {}))
        return
    if features:
        print_drift(features.drift)
    rows = [[*row.values()] for row in kl_table(record)]
    where = "held-out clips" if record.kl is not None else "no clips held out"
    print_table(f"KL divergence, nats ({where})", ("predicted by", "KL", "95 %"), rows)
    if record.gain is not None:
        compared = relative_to_trivial(record.gain)
        OUT.print(f"The ensemble is {compared} the trivial prediction.", highlight=False)
        if record.gain <= 0:
            OUT.print("It has learned too little: raise training.epochs, or add clips.")
    lines = [
        ("workspace", str(paths.root)),
        ("ensemble", record.version),
        ("pool", str(record.fitted)),
    ]
    if record.choice:
        lines.append(("", record.choice.reason))
    if record.law:
        law = record.law
        lines.append(("KL of n members", f"{law.a:.4f} + {law.b:.4f} n^-{law.c:.2f}"))
    if record.fewer:
        lines.append(("members", record.fewer))
    files = {
        "submission": paths.ensemble(record.version).submission,
        "report": paths.ensemble(record.version).report,
    }
    lines += [(name, str(file)) for name, file in files.items() if file.exists()]
    lines.append(("champion", f"{promotion.state}: {promotion.reason}"))
    if record.imputed:
        lines.append(("mean prediction", f"{len(record.imputed)} unusable clips"))
    for name, value in lines:
        print_line(name, value)


def print_drift(rows: Sequence[DriftRow]) -> None:
    """Print the drift between data sets; nothing without rows."""
    if not rows:
        return
    table = drift_table(rows)
    print_table("Drift of the decibels", [*table[0]], [[*row.values()] for row in table])
    OUT.print(DRIFT_LEGEND, highlight=False)
    for other in sorted({row.other for row in rows if row.other}):
        print_line("other", other)


def print_export(done: Exported) -> None:
    """Print the exported file, its difference from the pipeline, and how to load it."""
    if done.difference is None:
        checked = "not compared with the pipeline: onnxruntime is not installed"
    else:
        checked = f"at most {done.difference:.1e} from the pipeline's probabilities"
    opened = "onnxruntime.InferenceSession(file)"
    if done.kind == "keras":
        opened = "import overlap.export.layers; keras.saving.load_model(file, compile=False)"
    for name, value in (
        ("ensemble", done.version),
        (done.kind, f"{done.out}, {format_bytes(done.bytes)}, {checked}"),
        ("to open it", opened),
    ):
        print_line(name, value)


def print_note(text: str) -> None:
    """Print a note for the user on standard error."""
    ERR.print(f"note: {text}", highlight=False, soft_wrap=True)


@contextmanager
def flow_shown() -> Iterator[None]:
    """Check or start the Prefect server, and show the progress of the flow within the block."""
    from flows.service.servers import connected
    from tasks.progress import TERMINAL

    def note(text: str) -> None:
        if not interruptions.received():  # which ends the server, too
            print_note(text)

    with connected(note), TERMINAL.shown(ERR):
        gc.freeze()  # no later search for unused objects looks through the imported modules
        yield


@contextmanager
def bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar; yields a function that takes the done and total amounts."""
    with Progress(console=ERR, disable=not ERR.is_terminal) as progress:
        row = progress.add_task(name, total=None)
        yield lambda done, total: progress.update(row, completed=done, total=total)
