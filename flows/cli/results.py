"""Results of runs and exports, as the commands print them."""

from collections.abc import Sequence
from dataclasses import asdict

from flows.cli.console import OUT, print_json, print_line, print_table
from overlap.ensemble.registry import EnsembleRecord
from overlap.export.request import Exported
from overlap.features.compare import DriftRow
from overlap.io.formatting import counted, format_bytes
from overlap.io.location import Location
from overlap.io.workspace_paths import WorkspacePaths
from overlap.promotion.champion import Promotion
from overlap.reporting.result_tables import DRIFT_LEGEND, drift_table, kl_table, relative_to_trivial


def print_ensemble(
    workspace: str,
    record: EnsembleRecord,
    promotion: Promotion,
    drift: Sequence[DriftRow] | None = None,
    *,
    as_json: bool,
) -> None:
    """Print the result of a run: tables, addresses, and the decision about the champion."""
    paths = WorkspacePaths(Location.of(workspace))
    if as_json:
        content = record.model_dump(mode="json") | {"promotion": promotion.model_dump(mode="json")}
        measured = {} if drift is None else {"drift": [asdict(row) for row in drift]}
        print_json(content | measured)
        return
    print_drift(drift or ())
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
        lines.append(("mean prediction", counted(len(record.imputed), "unusable clip")))
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
