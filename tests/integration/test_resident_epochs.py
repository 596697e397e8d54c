"""Epochs on a resident set, in a process in which Keras runs on JAX."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.extended
CASES = "trains_as_batches_from_the_host_do and setting0 or predicted_in_their_order"
"""Names of the tests that run here; `make test-backend` runs all."""


def test_epochs_on_the_device_equal_those_that_the_host_feeds() -> None:
    pytest.importorskip("jax")
    tests = Path(__file__).parents[1] / "unit" / "test_resident.py"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-k", CASES, str(tests)],
        env=os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        capture_output=True, text=True, check=False, cwd=tests.parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
