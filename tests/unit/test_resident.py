"""Epochs on a resident set: the same training as with batches from the host (JAX)."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overlap.io.location import Location
from overlap.training.checkpoint import Progress
from overlap.training.engine.epochs import predict
from overlap.training.engine.resident import (
    STEPS_PER_CALL,
    ResidentSet,
    ResidentTrainer,
    steps_per_call,
)
from overlap.training.feed.batches import TrainingData
from overlap.training.fit import train
from overlap.training.learner import Learner
from support.learners import FULL_RECIPE, SHAPE, StoppedError, arrays, data_of, learner_of

on_jax = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="Keras runs on another backend; see make test-backend"
)
SUBSET = 2


def resident_data(**training: object) -> TrainingData:
    """Return the data of `data_of` as a resident set, filled in two parts."""
    decibels, labels = arrays()
    parts = [decibels[:50], decibels[50:]]
    rows = np.arange(len(decibels))
    return replace(
        data_of(**training), resident=ResidentSet(rows, labels.astype(np.float32), SHAPE, parts)
    )


def trained(data: TrainingData, folder: Path) -> tuple[Learner, Progress]:
    learner = learner_of(data, SUBSET)
    return learner, train(learner, data, Location(str(folder)), lambda _: None)


def assert_alike(found: tuple[Learner, Progress], expected: tuple[Learner, Progress]) -> None:
    """Compare losses, scores and predictions: XLA compiles the loop in another order of sums."""
    for one, other in zip(found[1].history, expected[1].history, strict=True):
        assert one == pytest.approx(other, rel=1e-3)
    assert found[1].kept_epoch == expected[1].kept_epoch
    decibels, _ = arrays()
    probabilities = [each[0].network.predict(decibels, verbose=0) for each in (found, expected)]
    assert np.abs(probabilities[0] - probabilities[1]).max() < 5e-3


@on_jax
@pytest.mark.parametrize(
    "setting",
    [
        {},
        {"batch_size": 12},
        FULL_RECIPE,
        {"tail_epochs": 2, "clip_norm": 1.0},
        {"optimizer": "muon"},
    ],
)
def test_a_resident_set_trains_as_batches_from_the_host_do(
    tmp_path: Path, setting: dict[str, Any]
) -> None:
    streamed = trained(data_of(**setting), tmp_path / "streamed")
    resident = trained(resident_data(**setting), tmp_path / "resident")
    assert_alike(resident, streamed)
    assert streamed[1].history[-1]["loss"] < streamed[1].history[0]["loss"]


@on_jax
def test_an_interrupted_training_resumes_with_either_kind_of_epochs(tmp_path: Path) -> None:
    expected = trained(data_of(**FULL_RECIPE), tmp_path / "whole")
    folder = Location(str(tmp_path / "parts"))

    def interrupt(event: Mapping[str, Any]) -> None:
        if event["epoch"] in (1, 3):
            raise StoppedError

    for data in (data_of(**FULL_RECIPE), resident_data(**FULL_RECIPE)):
        with pytest.raises(StoppedError):
            train(learner_of(data, SUBSET), data, folder, interrupt)
    data = resident_data(**FULL_RECIPE)
    resumed = learner_of(data, SUBSET)
    assert_alike((resumed, train(resumed, data, folder, lambda _: None)), expected)


@on_jax
def test_rows_of_a_resident_set_are_predicted_in_their_order() -> None:
    data = resident_data()
    learner = learner_of(data, SUBSET)
    rows = np.random.default_rng(0).permutation(90)[:77]
    assert data.resident is not None
    found = ResidentTrainer(learner.model, learner.network, data.resident).predict(rows)
    expected = predict(learner.network, data.source, rows)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-5


@on_jax
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_every_precision_learns_on_a_resident_set(tmp_path: Path, precision: str) -> None:
    _, progress = trained(resident_data(epochs=6, precision=precision), tmp_path)
    assert progress.history[-1]["loss"] < progress.history[0]["loss"]


@given(st.integers(1, 20_000))
def test_calls_are_short_and_have_at_most_two_sizes(steps: int) -> None:
    size = steps_per_call(steps)
    calls = [min(size, steps - start) for start in range(0, steps, size)]
    assert sum(calls) == steps
    assert max(calls) <= STEPS_PER_CALL
    assert len({*calls}) <= 2
    assert len(calls) <= -(-steps // (STEPS_PER_CALL // 2))
