"""What a person reads in the terminal: tables, and one clear message for an error."""

import json
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from overlap.ensemble import registry
from overlap.ensemble.registry import EnsembleRecord
from overlap.export.request import Exported
from overlap.features.compare import DriftRow
from overlap.io.location import Location
from overlap.promotion.champion import Promotion, read_aliases
from overlap.reporting.tables import DRIFT_LEGEND, drift_table, kl_table, relative_to_trivial

if TYPE_CHECKING:  # it brings Prefect, which a command that only looks has no use for
    from tasks.features import FeatureReport

OUT = Console(markup=False, emoji=False)
ERR = Console(stderr=True, markup=False, emoji=False)
"""What is printed names files and words: in them `[/b]` is no markup, and `:x:` no emoji."""


def print_json(content: object) -> None:
    """One JSON object on standard output."""
    sys.stdout.write(json.dumps(content, indent=2, default=str) + "\n")


def print_line(name: str, value: object) -> None:
    """A named value on a line of its own, however long: it is copied from there."""
    OUT.print(f"{name:<16}{value}", highlight=False, soft_wrap=True)


def print_next(what: str) -> None:
    """The last line of a command: what to do next."""
    print_line("next", what)


def predict_next(workspace: str) -> None:
    """Where ensembles are published: the champion is there to predict, or a person chooses one."""
    place = Location.of(workspace)
    if read_aliases(place).version:
        print_next(in_workspace("predict CLIPS --out preds.csv", workspace))
    elif records := registry.list_ensembles(place):
        chosen = in_workspace(f"models promote {records[-1].version}", workspace)
        print_next(f"no champion yet; {chosen} makes it one")


def look_next(workspace: str, model: str) -> None:
    """After predictions: one clip can be looked at, with what the same ensemble says of it."""
    named = "" if model == "champion" else f" --model {shlex.quote(model)}"
    print_next(f"{in_workspace('show CLIP' + named, workspace)} draws one of them")


def in_workspace(command: str, workspace: object) -> str:
    """A command about a workspace, as it is typed.

    Examples:
        >>> in_workspace("predict CLIPS", "my work")
        "overlap predict CLIPS --workspace 'my work'"
    """
    return f"overlap {command} --workspace {shlex.quote(str(workspace))}"


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, whole: int = 0
) -> None:
    """A table; columns after the first are right-aligned, but one of bars without a name.

    The first `whole` columns are not cut or wrapped in a narrow terminal: people copy from them.
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
    """A bar per value, the largest `width` characters long.

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
    """The end of a run: the tables, where things are, and what became of the champion."""
    place = Location.of(workspace)
    if as_json:
        content = record.model_dump(mode="json") | {"promotion": promotion.model_dump(mode="json")}
        print_json(content | (features.model_dump(include={"drift"}) if features else {}))
        return
    if features:
        print_drift(features.drift)
    rows = [[*row.values()] for row in kl_table(record)]
    where = "held-out clips" if record.kl is not None else "no clips held out"
    print_table(f"KL divergence, nats ({where})", ("predicted by", "KL", "95 %"), rows)
    if record.gain is not None:
        beside = relative_to_trivial(record.gain)
        OUT.print(f"The ensemble is {beside} the trivial prediction.", highlight=False)
        if record.gain <= 0:
            OUT.print("It learned too little: give it more training.epochs, or more clips.")
    lines = [("workspace", str(place)), ("ensemble", record.version), ("pool", str(record.fitted))]
    if record.choice:
        lines.append(("", record.choice.reason))
    if record.law:
        law = record.law
        lines.append(("KL of n members", f"{law.a:.4f} + {law.b:.4f} n^-{law.c:.2f}"))
    if record.fewer:
        lines.append(("members", record.fewer))
    files = {
        "submission": registry.submission_of(place, record),
        "report": registry.report_of(place, record),
    }
    lines += [(name, str(file)) for name, file in files.items() if file.exists()]
    lines.append(("champion", f"{promotion.state}: {promotion.reason}"))
    if record.imputed:
        lines.append(("mean prediction", f"{len(record.imputed)} unusable clips"))
    for name, value in lines:
        print_line(name, value)


def print_drift(rows: Sequence[DriftRow]) -> None:
    """How far data sets are apart; nothing where there is nothing to compare."""
    if not rows:
        return
    table = drift_table(rows)
    print_table("Drift of the decibels", [*table[0]], [[*row.values()] for row in table])
    OUT.print(DRIFT_LEGEND, highlight=False)
    for other in sorted({row.other for row in rows if row.other}):
        print_line("other", other)


def print_export(done: Exported) -> None:
    """What was exported, how far it is from the pipeline, and how it is opened."""
    if done.difference is None:
        checked = "not compared with the pipeline: onnxruntime is not installed"
    else:
        checked = f"at most {done.difference:.1e} from the pipeline's probabilities"
    opened = "onnxruntime.InferenceSession(file)"
    if done.kind == "keras":
        opened = "import overlap.export.layers; keras.saving.load_model(file, compile=False)"
    for name, value in (
        ("ensemble", done.version),
        (done.kind, f"{done.out}, {done.bytes / 1e6:.1f} MB, {checked}"),
        ("to open it", opened),
    ):
        print_line(name, value)


@contextmanager
def flow_shown() -> Iterator[None]:
    """Around a flow of the command line: its server is started, its progress is shown."""
    from flows.service.servers import start_embedded_server
    from tasks.progress import TERMINAL

    start_embedded_server()
    with TERMINAL.shown(ERR):
        yield


@contextmanager
def bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar for work in this process; yields what takes done and total."""
    with Progress(console=ERR, disable=not ERR.is_terminal) as progress:
        row = progress.add_task(name, total=None)
        yield lambda done, total: progress.update(row, completed=done, total=total)
