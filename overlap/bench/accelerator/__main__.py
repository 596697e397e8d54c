"""The command `python -m overlap.bench.accelerator`, for machines with JAX and Keras only.

`overlap bench accelerator` does the same where the whole of overlap is installed.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from overlap.bench.accelerator.run import PARTS, bench_accelerator
from overlap.errors import OverlapError


def main(arguments: list[str] | None = None) -> int:
    """Run the parts and write their results; return 2 for a mistake of the user."""
    parser = argparse.ArgumentParser(prog="overlap.bench.accelerator", description=__doc__)
    parser.add_argument("--parts", default=",".join(PARTS), help="separated by commas")
    parser.add_argument("--scale", type=float, default=1.0, help="size of the work")
    parser.add_argument("--patience", type=float, default=1.0, help="factor of the time limits")
    parser.add_argument("--out", type=Path, default=Path("accelerator.json"), help="the results")
    chosen = parser.parse_args(arguments)

    def done(name: str, result: Mapping[str, Any]) -> None:
        ended = result.get("error") or "done"
        print(f"{name}: {ended} after {result['seconds']:.0f} s", flush=True)

    names = [name.strip() for name in chosen.parts.split(",")]
    try:
        report = bench_accelerator(names, chosen.scale, chosen.patience, done)
    except OverlapError as error:
        print(f"{error} [{error.code}]", file=sys.stderr)
        return 2
    chosen.out.write_text(json.dumps(report, indent=1), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
