"""The learner and the training loop, on arrays: no store, no process."""

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

from overlap.catalog import Partition
from overlap.config import AugmentConfig, NetworkConfig, Stage, TrainingConfig
from overlap.errors import DivergedError
from overlap.features import Normalisation
from overlap.io.location import Location
from overlap.io.workspace_paths import CHECKPOINT_FILE
from overlap.training import fit
from overlap.training.feed.batches import TrainingData
from overlap.training.feed.device_dataset import DeviceDataset
from overlap.training.fit import Progress, predict, train
from overlap.training.learner import Learner, build_learner
from overlap.training.network import build_network, precision

CONSTANTS = Normalisation((-70.0, -60.0), (-30.0, -30.0), (15.0, 15.0))
SMALL = NetworkConfig(stages=(Stage(kind="plain", filters=4),), dense=8, dropout=0.2)
CLIPS, SHAPE, WORDS = 96, (8, 9, 2), 4
FANCY = {
    "optimizer": "adamw",
    "learning_rate": 0.01,
    "schedule": "cosine",
    "warmup_epochs": 1,
    "average_epochs": 0.5,
    "weight_decay": 0.01,
    "keep": "best",
    "augment": AugmentConfig(mix=0.5, shift_frames=1, masks=1, mask_mels=2, mask_frames=2),
}


class ArraySource:
    """Rows of an array."""

    def __init__(self, decibels: np.ndarray) -> None:
        self._decibels = decibels

    def batches(self, rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
        for start in range(0, len(rows), size):
            yield self._decibels[rows[start : start + size]]


def arrays() -> tuple[np.ndarray, np.ndarray]:
    """Clips in which a word is a loud mel band, two words each."""
    random = np.random.default_rng(0)
    chosen = np.argsort(random.random((CLIPS, WORDS)), axis=1)[:, :2]
    labels = np.zeros((CLIPS, WORDS))
    np.put_along_axis(labels, chosen, 0.5, axis=1)
    decibels = random.normal(-45, 5, (CLIPS, *SHAPE))
    decibels[:, ::2] += 30 * (labels > 0)[:, :, None, None]
    return decibels.astype(np.float16), labels


def data_of(resident: bool = False, **training: object) -> TrainingData:
    decibels, labels = arrays()
    rows = np.arange(CLIPS)
    return TrainingData(
        source=ArraySource(decibels),
        labels=labels,
        partition=Partition(rows[:80], rows[80:]),
        chunk_clips=8,
        training=TrainingConfig(**({"epochs": 4, "batch_size": 16} | training)),
        seed=1,
        resident=resident,
    )


def learner_of(data: TrainingData, subset: int | None = None) -> Learner:
    keras.utils.set_random_seed(3)
    resident = None
    if data.resident:
        decibels, labels = arrays()
        rows = data.partition.train
        resident = DeviceDataset((len(rows), *SHAPE), labels[rows].astype(np.float32))
        resident.fill(iter([decibels[rows[:50]], decibels[rows[50:]]]))
    with precision(data.training.precision):
        network = build_network(SMALL, SHAPE, WORDS, CONSTANTS, subset)
        return build_learner(
            network, data.training, CONSTANTS,
            subset=subset, steps=data.steps, seed=9, resident=resident,
        )  # fmt: skip


def nothing(_: object) -> None:
    pass


def trained(
    folder: Path, data: TrainingData, subset: int | None = None
) -> tuple[Learner, Progress]:
    learner = learner_of(data, subset)
    return learner, train(learner, data, Location(str(folder)), nothing)


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("setting", "subset"),
    [
        ({}, None),
        (FANCY | {"precision": "bfloat16"}, 2),
        (FANCY | {"steps_per_call": 3, "whole_batches": True, "precision": "float16"}, None),
    ],
)
def test_every_recipe_learns_what_can_be_heard(
    tmp_path: Path, setting: dict[str, object], subset: int | None
) -> None:
    data = data_of(**({"optimizer": "adamw", "learning_rate": 0.01} | setting | {"epochs": 15}))
    learner, progress = trained(tmp_path, data, subset)
    assert len(progress.history) == 15
    assert progress.history[-1]["held_out_kl"] < 0.4  # the mean label: 0.69
    found = predict(learner.network, data.source, data.partition.held_out)
    assert np.abs(found.sum(axis=1) - 1).max() < 1e-5


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("setting", [pytest.param({}, marks=pytest.mark.nightly), FANCY])
def test_an_interrupted_training_ends_where_another_ends(
    tmp_path: Path, setting: dict[str, object]
) -> None:
    """Stopped after the first epoch and again after the third; also in another placement."""
    data = data_of(**setting)
    learner, progress = trained(tmp_path / "whole", data, 2)
    place, stops = Location(str(tmp_path / "parts")), [1, 3]

    def interrupt(event: dict[str, object]) -> None:
        if event["epoch"] in stops:
            raise StoppedError

    for resident in (False, True):
        elsewhere = data_of(resident=resident, **setting, steps_per_call=3)
        with pytest.raises(StoppedError):
            train(learner_of(elsewhere, 2), elsewhere, place, interrupt)
        stops.pop(0)
    resumed = learner_of(data, 2)
    again = train(resumed, data, place, nothing)
    # To the bit where operations are deterministic; JAX compiles each placement by itself.
    tolerance = 0.0 if keras.backend.backend() == "tensorflow" else 1e-3
    for mine, theirs in zip(again.history, progress.history, strict=True):
        assert mine == pytest.approx(theirs, rel=tolerance, abs=0)
    assert again.kept_epoch == progress.kept_epoch
    for mine, theirs in zip(
        resumed.network.get_weights(), learner.network.get_weights(), strict=True
    ):
        assert np.abs(mine - theirs).max() <= tolerance
    saved = (place / CHECKPOINT_FILE).read_arrays()
    assert max(values.size for values in saved.values()) < CLIPS * 8 * 9 * 2  # not the features


def test_a_damaged_checkpoint_is_no_end(tmp_path: Path) -> None:
    """The training begins again, and says so; it ends where an undisturbed one ends."""
    place, data = Location(str(tmp_path)), data_of(epochs=2)
    undisturbed = learner_of(data)
    train(undisturbed, data, place, nothing)
    file, events = tmp_path / CHECKPOINT_FILE, []
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    again = learner_of(data)
    train(again, data, place, events.append)
    assert [event["event"] for event in events] == ["again", "epoch", "epoch"]
    assert f"{file}: is damaged" in events[0]["reason"]
    for one, other in zip(undisturbed.network.weights, again.network.weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_the_best_epoch_is_kept(tmp_path: Path) -> None:
    data = data_of(epochs=6, learning_rate=0.02, keep="best")
    learner, progress = trained(tmp_path, data)
    scores = [entry["held_out_kl"] for entry in progress.history]
    assert progress.kept_epoch == 1 + int(np.argmin(scores))
    found = predict(learner.network, data.source, data.partition.held_out)
    labels = data.labels[data.partition.held_out]
    assert fit.kl(labels, found) == pytest.approx(min(scores), rel=1e-6)


def test_an_average_gets_statistics_of_its_own(tmp_path: Path) -> None:
    """The moving statistics of a normalisation start far off; renewed, they fit the data."""
    data = data_of(epochs=1, average_epochs=1)
    learner, _ = trained(tmp_path, data)
    layer = next(
        layer for layer in learner.network.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    )  # fmt: skip
    inner = keras.Model(learner.network.input, layer.input)
    seen = [keras.ops.convert_to_numpy(inner(b["decibels"])) for (b,) in data.epoch(0)]
    mean = np.mean([part.mean(axis=(0, 1, 2)) for part in seen], axis=0)
    assert keras.ops.convert_to_numpy(layer.moving_mean) == pytest.approx(mean, abs=1e-3)


@pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="JAX shows no weights between the steps of a fit"
)
def test_after_an_epoch_the_weights_are_their_average(tmp_path: Path) -> None:
    """Five steps at a horizon of one epoch: 0.8 of the average and 0.2 of each new weight."""
    data = data_of(epochs=1, average_epochs=1)
    learner = learner_of(data)
    kernel = learner.network.layers[2].kernel
    passed: list[np.ndarray] = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, *_: object, **__: object) -> None:
            passed.append(np.array(kernel.value))

    learner.model.fit(
        data.epoch(0), steps_per_epoch=5, shuffle=False, verbose=0, callbacks=[Watch()]
    )
    average = passed[0]
    for weights in passed[1:]:
        average = 0.8 * average + 0.2 * weights
    assert np.array(kernel.value) == pytest.approx(average, abs=1e-6)
    assert np.abs(average - passed[-1]).max() > 1e-4


def test_weights_that_are_not_finite_are_a_divergence(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match="diverged in epoch 1: its weights are not finite"):
        trained(tmp_path, data_of(learning_rate=1e30))


def test_a_loss_above_the_trivial_one_is_a_divergence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "PATIENCE_STEPS", 0)
    data = data_of(epochs=9, learning_rate=1e-9)
    with pytest.raises(DivergedError, match=r"its loss in epoch 6 is .*, above 0.1000 of"):
        train(learner_of(data), data, Location(str(tmp_path)), nothing, 0.1)
