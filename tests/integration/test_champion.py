"""Runs over growing data: the champion predicts the newer clips, and must be beaten there."""

import json
import shutil
from pathlib import Path

import pytest

from overlap.synthetic import MixConfig, mix
from support.errors import printed_code

pytestmark = pytest.mark.nightly


def grown(words: Path, data: Path, train: int, tmp_path: Path) -> None:
    """Make a data set of the same clips and more of them, at the same address."""
    config = MixConfig(train=train, test=20, words_per_clip=2, groups=4, seed=3, test_speakers=0.2)
    mix(words, tmp_path / "more", config)
    if data.exists():
        shutil.rmtree(data)
    (tmp_path / "more").rename(data)


def test_three_runs_over_growing_data(
    overlap, api, words: Path, tiny: Path, tmp_path: Path
) -> None:
    data, workspace = tmp_path / "data", tmp_path / "w"
    run = ("run", "--data", data, "--workspace", workspace, "--config", tiny, "--members", 1,
           "--set", "promotion.min_clips=20", "--json")  # fmt: skip
    models = ("--workspace", workspace)

    def listed() -> dict:
        return json.loads(overlap("models", "list", *models, "--json").stdout)

    grown(words, data, 100, tmp_path)
    first = json.loads(overlap(*run).stdout)
    assert first["promotion"]["promoted"]

    # More clips, and a challenger that hardly learns.
    grown(words, data, 160, tmp_path)
    worse = (*run, "--set", "training.learning_rate=1e-7", "--set", "training.epochs=1")
    second = json.loads(overlap(*worse).stdout)
    promotion, compared = second["promotion"], second["promotion"]["duel"]
    assert compared["champion"] == first["version"]
    assert 0 < compared["newer"] < compared["clips"] == second["clips"]["train"] // 4
    assert compared["challenger_kl"] == pytest.approx(second["kl"])
    assert not promotion["promoted"]
    assert f"{compared['newer']} of them newer than {first['version']}" in promotion["reason"]
    assert f"`overlap models promote {second['version']}`" in promotion["reason"]
    assert listed()["champion"] == first["version"]

    # The user promotes it; then the rule replaces it by a better one.
    overlap("models", "promote", second["version"], *models)
    grown(words, data, 200, tmp_path)
    better = (*run, "--set", "training.epochs=12", "--set", "promotion.keep_versions=1")
    done = overlap(*better)
    third = json.loads(done.stdout)
    assert third["promotion"]["promoted"], third["promotion"]["reason"]
    assert third["promotion"]["duel"]["low"] > 0
    assert third["promotion"]["duel"]["newer"] > 0
    assert "removed: versions 1, members 1" in done.stderr
    found = listed()
    assert found["champion"] == third["version"]
    assert [e["version"] for e in found["ensembles"]] == [second["version"], third["version"]]
    assert [d["by"] for d in found["history"]] == ["rule", "rule", "hand", "rule"]
    assert found["ensembles"][1]["decision"]["reason"] == third["promotion"]["reason"]
    table = overlap("models", "list", *models, COLUMNS="140").stdout
    assert f"gain {third['promotion']['duel']['gain']:+.4f} (" in table
    assert not (workspace / "members" / first["members"][0]).exists()

    back = overlap("models", "rollback", *models).stdout
    assert f"champion: {second['version']} (rolled back from {third['version']})" in back
    nothing = overlap("models", "rollback", *models, code=2).stderr
    assert (printed_code(nothing), first["version"] in nothing) == ("no-earlier-champion", True)
    assert "OK" in overlap("verify", *models).stdout

    # A champion whose network is damaged is compared on its stored predictions.
    (workspace / "members" / second["members"][0] / "model.keras").write_bytes(b"damaged")
    grown(words, data, 240, tmp_path)
    done = overlap(*run, "--set", "training.epochs=12")
    fourth = json.loads(done.stdout)["promotion"]
    assert "note: the champion cannot be compared on clips newer than it" in done.stderr
    assert fourth["promoted"], fourth["reason"]
    assert fourth["duel"]["newer"] == 0
    assert f"{second['version']} has not predicted 20 clips newer than it" in fourth["reason"]
    artifacts = [a for a in api.ask("artifacts") if a["key"] == "champion"]
    assert any(third["promotion"]["reason"] in a["data"] for a in artifacts)
