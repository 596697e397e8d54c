"""Runs the parts of the benchmark, each in a process with a time limit, and collects one JSON."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from overlap.errors import UserError
from overlap.system.child_process import worker_environment
from overlap.system.import_path import child_environment

PARTS: Final = {
    "card": 30,
    "correctness": 90,
    "convolutions": 100,
    "fit": 40,
    "epochs": 180,
    "members": 60,
    "member-epoch": 60,
    "profile": 40,
}
"""Time limit of each part, s; ten minutes in all."""


def bench_accelerator(
    parts: Sequence[str],
    scale: float,
    patience: float = 1.0,
    done: Callable[[str, Mapping[str, Any]], None] = lambda _name, _result: None,
) -> dict[str, Any]:
    """Run parts one after another; one that fails or takes too long spoils no other.

    Args:
        parts: Names of parts.
        scale: Size of the work, 1: that of real training.
        patience: Factor of the time limits.
        done: Receives each part's name and result when it ends.

    Returns:
        By part: its `results` so far, its `seconds`, and an `error` if it did not end well.
    """
    unknown = sorted({*parts} - {*PARTS})
    if unknown:
        raise UserError(
            f"{', '.join(unknown)}: unknown; choose from {', '.join(PARTS)}", code="unknown-part"
        )
    report: dict[str, Any] = {}
    for part in parts:
        report[part] = _run(part, scale, patience * PARTS[part])
        done(part, report[part])
    return report


def _run(part: str, scale: float, limit: float) -> dict[str, Any]:
    environment = child_environment(worker_environment(os.environ)) | {"KERAS_BACKEND": "jax"}
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="overlap-bench-") as folder:
        out, log = Path(folder, "results.jsonl"), Path(folder, "log")
        command = [sys.executable, "-m", __name__, part, str(scale), str(out)]
        error = None
        with log.open("w") as file:
            try:
                subprocess.run(
                    command, env=environment, stdout=file, stderr=subprocess.STDOUT,
                    timeout=limit, check=True,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                error = f"not finished after {limit:g} s"
            except subprocess.CalledProcessError:
                error = log.read_text(errors="replace")[-4000:]
        lines = out.read_text().splitlines() if out.exists() else []
    result: dict[str, Any] = {"seconds": time.perf_counter() - started}
    result["results"] = [json.loads(line) for line in lines]
    return result if error is None else {**result, "error": error}


def _results(part: str, scale: float) -> Iterable[Any]:
    """Run a part in this process."""
    from overlap.bench.accelerator import convolutions, members, parts
    from overlap.bench.accelerator.subject import SMALL, Variant

    best = Variant("bfloat16", 256, fused=True, scale=scale)
    everything = [
        Variant(precision, size, fused=fused, scale=scale)
        for size in (256, 64, 1024)
        for precision in ("bfloat16", "float32")
        for fused in (True, False)
    ]
    plain = Variant("float32", 64, fused=False, scale=scale)
    by_part: dict[str, Callable[[], Iterable[Any]]] = {
        "card": lambda: [parts.card(scale)],
        "correctness": lambda: parts.correctness(scale),
        "convolutions": lambda: convolutions.convolutions(scale),
        "fit": lambda: [parts.fit(scale, plain)],
        "epochs": lambda: parts.epochs(scale, everything if scale >= SMALL else everything[:2]),
        "members": lambda: members.members(scale, best),
        "member-epoch": lambda: [members.member_epoch(scale, best)],
        "profile": lambda: [parts.profile(scale, best)],
    }
    return by_part[part]()


if __name__ == "__main__":
    with Path(sys.argv[3]).open("w") as file:
        for one in _results(sys.argv[1], float(sys.argv[2])):
            file.write(json.dumps(one) + "\n")
            file.flush()
