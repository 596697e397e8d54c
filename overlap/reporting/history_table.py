"""The history of a workspace as a table for people and as CSV for programs."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, fields

from overlap.io.formatting import format_duration
from overlap.workspace.history import PublishedVersion


def history_table(versions: Sequence[PublishedVersion]) -> list[dict[str, str]]:
    """Return one row per version, oldest first; unknown figures are empty.

    Energy and GPU hours have a column only if some version has them.
    """
    energy = any(one.energy_wh is not None for one in versions)
    gpu = any(one.gpu_hours for one in versions)
    return [
        {
            "version": one.version,
            "KL": _number(one.kl, ".4f"),
            "95 %": "" if one.kl_low is None else f"{one.kl_low:.4f} to {one.kl_high:.4f}",
            "trivial KL": _number(one.trivial_kl, ".4f"),
            "promoted": {True: "yes", False: "no", None: ""}[one.promoted],
            "champion at that time": one.champion or "",
            "clips": _number(one.clips, ",d"),
            "drift, dB": _number(one.drift_db, ".2f"),
            **({"GPU hours": _number(one.gpu_hours, ".2f")} if gpu else {}),
            **({"energy, Wh": _number(one.energy_wh, ",.1f")} if energy else {}),
            "duration": "" if one.seconds is None else format_duration(one.seconds),
        }
        for one in versions
    ]


def history_csv(versions: Sequence[PublishedVersion]) -> bytes:
    """Return CSV with the fields of `PublishedVersion`; unknown figures are empty cells."""
    target = io.StringIO(newline="")
    names = [field.name for field in fields(PublishedVersion)]
    writer = csv.DictWriter(target, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(one) | {"created": one.created.isoformat()} for one in versions)
    return target.getvalue().encode()


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
