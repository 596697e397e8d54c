"""`overlap bench accelerator` on a processor, at a small size."""

import json
from pathlib import Path

import pytest

from overlap.bench.accelerator.run import PARTS

pytestmark = pytest.mark.nightly


def test_every_part_has_results(overlap, tmp_path: Path) -> None:
    pytest.importorskip("jax", reason="the benchmark trains with JAX (extra jax)")
    out = tmp_path / "accelerator.json"
    overlap("bench", "accelerator", "--scale", 0.002, "--patience", 20, "--out", out)
    report = json.loads(out.read_text())
    assert {name: result.get("error") for name, result in report.items()} == dict.fromkeys(PARTS)
    (card,) = report["card"]["results"]
    assert card["copy_gb_per_second"] > 0
    exact = [
        row for row in report["correctness"]["results"]
        if (row["precision"], row["matrix_precision"]) == ("float32", "highest")
    ]  # fmt: skip
    assert [row["fused"] for row in exact] == [False, False, True]
    assert all(row["largest_difference"] < 1e-3 * row["first_loss"] for row in exact)
    assert all(row["last_loss"] < row["first_loss"] for row in report["correctness"]["results"])
    for name in ("fit", "epochs", "members", "member-epoch"):
        assert all(row["clips_per_second"] > 0 for row in report[name]["results"]), name
    (epoch,) = report["member-epoch"]["results"]
    assert epoch["losses"][-1] < epoch["losses"][0]
    (profile,) = report["profile"]["results"]
    assert "HloModule" in profile["program"]


def test_an_unknown_part_is_named(overlap) -> None:
    assert "unknown-part" in overlap("bench", "accelerator", "--parts", "kard", code=2).stderr
