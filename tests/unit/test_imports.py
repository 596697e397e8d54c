"""Commands that only read, and processes that mix or predict, do not import what they do not need.

Imports take most of the time of such a command, and more than the work of a small process.
`python -X importtime -m overlap status` shows what imports a package.
"""

import json
import os
import subprocess
import sys

import pytest

from support.earlier_workspace import Earlier

HEAVY = {
    "dask", "distributed", "joblib", "keras", "librosa", "matplotlib", "numba", "onnxruntime",
    "pandas", "prefect", "scipy", "soundfile", "tensorflow",
}  # fmt: skip
"""Packages that no command of this file needs."""
LIBRARY = {"fsspec", "numpy", "pyarrow", "pydantic", "yaml", "zarr"}
"""Packages that help, version and completion do not need either."""
PROGRAM = """
import json, sys
from overlap.__main__ import main
sys.argv = json.loads(sys.argv[1])
try:
    main()
finally:
    found = {name.partition(".")[0] for name in sys.modules}
    print(json.dumps(sorted(found)), file=sys.stderr)
"""


def imported(*arguments: str) -> set[str]:
    """The packages that a command has imported at its end."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(["overlap", *arguments])],
        env=os.environ, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {*json.loads(done.stderr.splitlines()[-1])}


@pytest.mark.parametrize("arguments", [["--version"], ["--help"]])
def test_help_imports_nothing_of_the_library(arguments: list[str]) -> None:
    assert imported(*arguments) & (HEAVY | LIBRARY) == set()


@pytest.mark.parametrize("arguments", [["status"], ["models", "list"], ["history"]])
def test_a_command_that_reads_records_imports_no_analysis(
    arguments: list[str], earlier: Earlier
) -> None:
    assert imported(*arguments, "--workspace", str(earlier.workspace)) & HEAVY == set()


@pytest.mark.parametrize(
    ("modules", "needed", "unused"),
    [
        (
            "overlap.synthetic.mix_jobs", "soundfile",
            {"keras", "librosa", "pandas", "prefect", "pyarrow", "tensorflow", "zarr"},
        ),
        (
            "overlap.prediction.worker, overlap.training.inference.store", "numpy",
            {"jax", "keras", "onnx", "tensorflow"},
        ),
    ],
    ids=["mixing", "predicting"],
)  # fmt: skip
def test_a_process_imports_only_what_it_uses(modules: str, needed: str, unused: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, {modules}; print(*sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = {name.partition(".")[0] for name in done.stdout.split()}
    assert needed in found
    assert found & unused == set()
