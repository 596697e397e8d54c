"""The table of predictions, the scoring of tables, and the names of versions."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from overlap.ensemble import registry
from overlap.ensemble.score_tables import score_tables
from overlap.ensemble.submission import submission_table, write_table
from overlap.errors import CorruptError, DataError
from overlap.io.location import Location
from overlap.metrics.bootstrap import interval, resampled_means
from overlap.metrics.divergence import kl, kl_per_clip
from support.errors import raises
from support.pooled_predictions import distributions, equal_labels

WORDS = ("a", "b", "c", "d")


# --- submission ------------------------------------------------------------------------------


def listed(ids: list[str], rows: list[int]) -> pd.DataFrame:
    return pd.DataFrame({"table_id": ids}, index=rows)


def test_rows_follow_the_template() -> None:
    predictions = distributions(3)
    table, imputed = submission_table(
        listed(["z", "x", "y"], [12, 10, 11]), np.array([10, 11, 12]), predictions, WORDS
    )
    assert imputed == []
    assert table["id"].tolist() == ["z", "x", "y"]
    assert np.allclose(table[[*WORDS]], predictions[[2, 0, 1]])


def test_an_unusable_clip_has_the_mean_prediction() -> None:
    predictions = distributions(2)
    table, imputed = submission_table(
        listed(["x", "bad", "y"], [0, 1, 2]), np.array([0, 2]), predictions, WORDS
    )
    assert imputed == ["bad"]
    assert np.allclose(table.loc[1, [*WORDS]].to_numpy(float), predictions.mean(axis=0))


def test_the_written_table_can_be_read_again(tmp_path: Path) -> None:
    table, _ = submission_table(
        listed(["x", "y"], [0, 1]), np.array([0, 1]), distributions(2), WORDS
    )
    write_table(table, Location.of(tmp_path / "s.csv"))
    again = pd.read_csv(tmp_path / "s.csv")
    assert np.abs(again[[*WORDS]].to_numpy() - table[[*WORDS]].to_numpy()).max() < 1e-9
    assert np.abs(again[[*WORDS]].sum(axis=1) - 1).max() < 1e-8


@pytest.mark.parametrize(
    ("values", "ids", "faults"),
    [
        (np.zeros((0, 4)), [], ["no rows"]),
        (np.full((1, 4), np.nan), ["x"], ["non-finite cells"]),
        (np.array([[1.5, -0.5, 0, 0]]), ["x"], ["negative cells"]),
        (np.full((1, 4), 0.2), ["x"], ["rows that do not sum to 1"]),
        (np.full((2, 4), 0.25), ["x", "x"], ["repeated ids"]),
    ],
)
def test_an_invalid_table_is_not_written(
    tmp_path: Path, values: np.ndarray, ids: list[str], faults: list[str]
) -> None:
    table = pd.DataFrame(values, columns=[*WORDS])
    table.insert(0, "id", ids)
    with raises(CorruptError, "invalid-predictions", faults=faults):
        write_table(table, Location.of(tmp_path / "s.csv"))
    assert not (tmp_path / "s.csv").exists()


# --- scoring tables --------------------------------------------------------------------------


def write(path: Path, name: str, ids: list[str], values: np.ndarray, words=WORDS) -> str:
    table = pd.DataFrame(values, columns=[*words])
    table.insert(0, "id", ids)
    table.to_csv(path / name, index=False)
    return str(path / name)


def test_tables_join_by_id_and_word(tmp_path: Path) -> None:
    p, q = equal_labels(5), distributions(5, 1)
    ids = [f"c{i}" for i in range(5)]
    truth = write(tmp_path, "truth.csv", ids, p)
    shuffled = write(tmp_path, "p.csv", ids[::-1], q[::-1, ::-1], WORDS[::-1])
    write(tmp_path, "train_answer.csv", ids, p)
    found = score_tables(truth, shuffled)
    assert found.kl == pytest.approx(kl(p, q))
    assert found.trivial_kl == pytest.approx(kl(p, np.tile(p.mean(axis=0), (5, 1))))
    assert found.clips == 5


def test_the_disagreement_is_not_scored_as_a_word(tmp_path: Path) -> None:
    p, q = equal_labels(5), distributions(5, 1)
    ids = [f"c{i}" for i in range(5)]
    truth = write(tmp_path, "truth.csv", ids, p)
    table = pd.DataFrame(q, columns=[*WORDS]).assign(spread=[0.1, np.nan, 0, 0, 0])
    table.insert(0, "id", ids)
    write_table(table, Location.of(tmp_path / "p.csv"), ("spread",))
    assert score_tables(truth, str(tmp_path / "p.csv")).kl == pytest.approx(kl(p, q))
    faults = ["non-finite cells", "rows that do not sum to 1"]
    with raises(CorruptError, "invalid-predictions", faults=faults):
        write_table(table, Location.of(tmp_path / "q.csv"))


def test_training_labels_default_to_the_folder_of_the_labels() -> None:
    folder = Location.of("memory://scored")
    (folder / "labels.csv").write_bytes(b"id,a,b\n1,0.5,0.5\n2,1,0\n")
    (folder / "train_answer.csv").write_bytes(b"id,a,b\n9,0.25,0.75\n")
    found = score_tables(f"{folder}/labels.csv", f"{folder}/labels.csv")
    truth = np.array([[0.5, 0.5], [1.0, 0.0]])
    expected = kl(truth, np.tile([0.25, 0.75], (2, 1)))
    assert found.trivial_kl == pytest.approx(expected)
    folder.remove()


def test_the_interval_resamples_groups_as_that_of_an_ensemble(tmp_path: Path) -> None:
    """Clips of a group that are alike tell less than as many independent clips."""
    groups, size = 12, 8
    ids = [f"c{i}" for i in range(groups * size)]
    truth = np.repeat(equal_labels(groups), size, axis=0)
    predicted = np.repeat(distributions(groups, 1), size, axis=0)
    labels = write(tmp_path, "t.csv", ids, truth)
    predictions = write(tmp_path, "p.csv", ids, predicted)
    alone = score_tables(labels, predictions)
    assert (alone.groups, alone.resampled) == (None, "single clips")
    named = [f"g{i // size}" for i in range(len(ids))]
    pd.DataFrame({"id": ids, "group": named}).to_csv(tmp_path / "groups.csv", index=False)
    together = score_tables(labels, predictions)
    assert (together.groups, together.resampled) == (groups, "12 groups")
    assert together.kl == alone.kl
    assert together.high - together.low > 1.5 * (alone.high - alone.low)
    expected = interval(resampled_means(kl_per_clip(truth, predicted)[None],
                                        np.repeat(np.arange(groups), size))[:, 0])  # fmt: skip
    assert (together.low, together.high) == pytest.approx(expected)


def test_groups_of_other_clips_are_not_used(tmp_path: Path) -> None:
    truth = write(tmp_path, "t.csv", ["x", "y", "z"], equal_labels(3))
    (tmp_path / "g.csv").write_text("id,group\na,1\nb,1\n")
    assert score_tables(truth, truth, groups=str(tmp_path / "g.csv")).groups is None
    (tmp_path / "g.csv").write_text("id,group\nx,1\ny,1\n")
    found = score_tables(truth, truth, groups=str(tmp_path / "g.csv"))
    assert (found.groups, found.resampled) == (2, "single clips of 2 groups")
    missing = str(tmp_path / "missing.csv")
    with raises(DataError, "no-such-file", path=missing):
        score_tables(truth, truth, groups=missing)


def test_tables_with_other_ids_or_words_are_refused(tmp_path: Path) -> None:
    truth = write(tmp_path, "truth.csv", ["x", "y"], equal_labels(2))
    other = write(tmp_path, "p.csv", ["x", "z"], distributions(2), ("a", "b", "c", "e"))
    with pytest.raises(DataError) as error:
        score_tables(truth, other)
    assert "words: d, e" in str(error.value)
    assert "ids: y, z" in str(error.value)
    missing = str(tmp_path / "missing.csv")
    with raises(DataError, "no-such-file", path=missing):
        score_tables(truth, missing)


# --- versions --------------------------------------------------------------------------------


def test_versions_sort_by_time() -> None:
    early, late = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
    assert registry.version_name(early, "f" * 16) == "20260102-030405-ffffffff"
    assert registry.version_name(early, "f" * 16) < registry.version_name(late, "0" * 16)
