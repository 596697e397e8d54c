"""The learner and the training loop, on arrays without a store or a worker process."""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np
import pytest

from overlap.errors import CorruptError, DivergedError
from overlap.io.location import Location
from overlap.io.workspace_paths import CHECKPOINT_FILE, MemberPaths
from overlap.training import fit
from overlap.training.checkpoint import Progress, restore_checkpoint
from overlap.training.engine.epochs import predict
from overlap.training.feed.batches import TrainingData
from overlap.training.fit import train
from overlap.training.learner import Learner, batch_norms
from overlap.training.member import recorded_failures
from overlap.training.spec import written_digest
from support.errors import raises
from support.learners import CLIPS, FULL_RECIPE, StoppedError, data_of, learner_of
from support.trials import trial

OTHERS = [
    name
    for name in ("jax", "tensorflow")
    if name != keras.backend.backend() and importlib.util.find_spec(name)
]
"""The other backends that are installed."""


def ignore(_: object) -> None:
    """Ignore an event."""


def trained(
    folder: Path, data: TrainingData, subset: int | None = None
) -> tuple[Learner, Progress]:
    learner = learner_of(data, subset)
    return learner, train(learner, data, Location(str(folder)), ignore)


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("setting", "subset"),
    [
        ({}, None),
        (FULL_RECIPE | {"precision": "bfloat16"}, 2),
        (FULL_RECIPE | {"steps_per_call": 3, "whole_batches": True, "precision": "float16"}, None),
    ],
)
def test_every_recipe_learns(
    tmp_path: Path, setting: dict[str, object], subset: int | None
) -> None:
    data = data_of(**({"optimizer": "adamw", "learning_rate": 0.01} | setting | {"epochs": 15}))
    learner, progress = trained(tmp_path, data, subset)
    assert len(progress.history) == 15
    assert progress.history[-1]["held_out_kl"] < 0.4  # the mean label: 0.69
    found = predict(learner.network, data.source, data.partition.held_out)
    assert np.abs(found.sum(axis=1) - 1).max() < 1e-5


@pytest.mark.extended
@pytest.mark.parametrize("setting", [pytest.param({}, marks=pytest.mark.nightly), FULL_RECIPE])
def test_an_interrupted_training_gives_the_same_result(
    tmp_path: Path, setting: dict[str, object]
) -> None:
    """Interrupt after the first and the third epoch, with features in memory and on the device."""
    data = data_of(**setting)
    learner, progress = trained(tmp_path / "whole", data, 2)
    folder, stops = Location(str(tmp_path / "parts")), [1, 3]

    def interrupt(event: dict[str, object]) -> None:
        if event["epoch"] in stops:
            raise StoppedError

    for on_device in (False, True):
        other = data_of(on_device=on_device, **setting, steps_per_call=3)
        with pytest.raises(StoppedError):
            train(learner_of(other, 2), other, folder, interrupt)
        stops.pop(0)
    resumed = learner_of(data, 2)
    again = train(resumed, data, folder, ignore)
    # Bitwise equal with deterministic operations; JAX compiles each mode separately.
    tolerance = 0.0 if keras.backend.backend() == "tensorflow" else 1e-3
    for found, expected in zip(again.history, progress.history, strict=True):
        assert found == pytest.approx(expected, rel=tolerance, abs=0)
    assert again.kept_epoch == progress.kept_epoch
    for found, expected in zip(
        resumed.network.get_weights(), learner.network.get_weights(), strict=True
    ):
        assert np.abs(found - expected).max() <= tolerance
    saved = (folder / CHECKPOINT_FILE).read_arrays()
    assert max(values.size for values in saved.values()) < CLIPS * 8 * 9 * 2  # no features


Once = tuple[Path, TrainingData, list[np.ndarray]]


def trained_once(folder: Path) -> tuple[TrainingData, list[np.ndarray]]:
    """Train two epochs; the checkpoint stays. Returns the data and the resulting weights."""
    data = data_of(epochs=2)
    learner, _ = trained(folder, data)
    return data, learner.network.get_weights()


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Folder, data and weights of two epochs; the folder is not to be changed."""
    folder = tmp_path_factory.mktemp("once")
    return folder, *trained_once(folder)


@pytest.fixture
def place(once: Once, tmp_path: Path) -> Location:
    """A copy of the checkpoint of those epochs."""
    shutil.copy(once[0] / CHECKPOINT_FILE, tmp_path)
    return Location(str(tmp_path / CHECKPOINT_FILE))


def restarted(folder: Path, data: TrainingData) -> tuple[list[dict], list[np.ndarray]]:
    """Train again in a folder; returns the events and the resulting weights."""
    events: list[dict] = []
    learner = learner_of(data)
    train(learner, data, Location(str(folder)), events.append)
    return events, learner.network.get_weights()


def without(name: str) -> Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]:
    return lambda arrays: {key: value for key, value in arrays.items() if key != name}


CHANGES: dict[str, Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]] = {
    "a variable less": without("v3"),
    "a weight less": without("k1"),
    "more variables": lambda arrays: arrays | {"v999": np.zeros(2, np.float32)},
    "another shape": lambda arrays: arrays | {"v1": arrays["v1"][..., None]},
    "another type": lambda arrays: arrays | {"v0": arrays["v0"].astype(np.float64)},
    "no progress": without("about"),
    "progress that is no JSON": lambda arrays: arrays | {"about": np.zeros(3, np.uint8)},
    "progress of another shape": lambda arrays: arrays | {"about": np.frombuffer(b"[1]", np.uint8)},
}


def test_a_checkpoint_that_does_not_fit_changes_no_variable(once: Once, place: Location) -> None:
    learner, arrays = learner_of(once[1]), place.read_arrays()
    before = [np.array(variable.value) for variable in learner.state]
    for change, changed in CHANGES.items():
        place.write_arrays(changed(arrays))
        known = "progress" not in change
        with pytest.raises(CorruptError, match=r"checkpoint\.npz") as caught:
            restore_checkpoint(learner, place)
        assert (caught.value.code == "foreign-checkpoint") is known, change
        assert caught.value.fields.get("differing") == (1 if known else None)
        for variable, value in zip(learner.state, before, strict=True):
            assert np.array_equal(variable.value, value)
    place.remove()
    assert restore_checkpoint(learner, place) is None


@trial(
    "R",
    "A training is interrupted; then Keras is upgraded, and has other variables",
    "own",
    "`KeyError: 'v12'` or `ValueError` at every run; the member can never be completed.",
    "The training begins again, says so, and gives the result of an undisturbed one.",
)
@pytest.mark.extended
def test_a_checkpoint_that_does_not_fit_restarts_the_training(once: Once, place: Location) -> None:
    _, data, expected = once
    place.write_arrays(without("v3")(place.read_arrays()))
    events, weights = restarted(Path(place.url).parent, data)
    assert [event["event"] for event in events] == ["again", "epoch", "epoch"]
    assert str(place) in events[0]["reason"]
    assert events[0]["reason"].endswith("; the training restarts")
    for one, other in zip(expected, weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize(("backend", "events"), [("theano", ["again", "epoch", "epoch"]), ("", [])])
def test_a_checkpoint_names_its_backend(
    once: Once, place: Location, backend: str, events: list[str]
) -> None:
    """Another backend's training begins again; without a name, an earlier release began it."""
    arrays = place.read_arrays()
    about = json.loads(arrays["about"].tobytes())
    assert about["backend"] == keras.backend.backend()
    about["backend"] = backend
    place.write_arrays(arrays | {"about": np.frombuffer(json.dumps(about).encode(), np.uint8)})
    reported, weights = restarted(Path(place.url).parent, once[1])
    assert [event["event"] for event in reported] == events
    for one, other in zip(once[2], weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@trial(
    "R",
    "A checkpoint with fields of progress that only a later release knows",
    "own",
    "`TypeError: unexpected keyword argument` at every run.",
    "The fields are ignored; the training resumes.",
)
def test_a_checkpoint_of_a_later_release_is_resumed(once: Once, place: Location) -> None:
    arrays = place.read_arrays()
    about = json.loads(arrays["about"].tobytes()) | {"added_later": 1}
    place.write_arrays(arrays | {"about": np.frombuffer(json.dumps(about).encode(), np.uint8)})
    events, weights = restarted(Path(place.url).parent, once[1])
    assert events == []  # nothing was left to train
    for one, other in zip(once[2], weights, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.extended
@pytest.mark.skipif(not OTHERS, reason="only one backend is installed")
@trial(
    "R",
    "A training begins with `KERAS_BACKEND=jax`, is killed, and resumes with TensorFlow",
    "own",
    "`KeyError` or `ValueError` at every run; the member can never be completed.",
    "The training begins again, says so, and gives the result of an undisturbed one.",
)
def test_a_checkpoint_of_another_backend_restarts_the_training(once: Once, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; import test_learner as t; "
        "t.trained_once(Path(sys.argv[1]))"
    )
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], check=True, timeout=200,
        env=os.environ | {"KERAS_BACKEND": OTHERS[0], "JAX_PLATFORMS": "cpu", "PYTHONPATH": path},
    )  # fmt: skip
    _, data, expected = once
    events, weights = restarted(tmp_path, data)
    assert [event["event"] for event in events] == ["again", "epoch", "epoch"]
    assert keras.backend.backend() in events[0]["reason"]
    for one, other in zip(expected, weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.extended
def test_a_damaged_checkpoint_restarts_the_training(once: Once, place: Location) -> None:
    """The training reports the restart and gives the result of an uninterrupted one."""
    _, data, expected = once
    file = Path(place.url)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    events, weights = restarted(file.parent, data)
    assert [event["event"] for event in events] == ["again", "epoch", "epoch"]
    assert str(file) in events[0]["reason"]
    for one, other in zip(expected, weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@trial(
    "R",
    "`failures.json` of a training that diverged once is cut off",
    "own",
    "`JSONDecodeError` at every run; the member can never be completed.",
    "The training begins again with its first seed, and says so.",
)
@pytest.mark.parametrize("content", [b"", b"[", b"{}", b"[1]", b"\xff"])
def test_a_damaged_record_of_failures_restarts_the_training(tmp_path: Path, content: bytes) -> None:
    paths, events = MemberPaths(Location(str(tmp_path))), list[Mapping]()
    paths.failures.write_bytes(content)
    paths.checkpoint.write_bytes(b"of an attempt that is unknown")
    assert recorded_failures(paths, events.append) == []
    assert [event["event"] for event in events] == ["again"]
    assert events[0]["reason"].startswith(f"{paths.failures}: is damaged")
    assert not paths.failures.exists()
    assert not paths.checkpoint.exists()


def test_recorded_failures_are_kept(tmp_path: Path) -> None:
    paths = MemberPaths(Location(str(tmp_path)))
    assert recorded_failures(paths, ignore) == []
    paths.failures.write_json(["seed 1 diverged"])
    assert recorded_failures(paths, ignore) == ["seed 1 diverged"]


@trial(
    "R",
    "Another process removes a member's file between its writing and its record",
    "own",
    'The record states the digest `"None"`; every later reading calls the member damaged.',
    "The member fails with `missing-file`, and is not complete.",
)
def test_a_file_that_disappeared_has_no_digest(tmp_path: Path) -> None:
    place = Location(str(tmp_path / "model.keras"))
    with raises(CorruptError, "missing-file", path=str(place)):
        written_digest(place)
    place.write_bytes(b"x")
    assert written_digest(place) == hashlib.sha256(b"x").hexdigest()


@pytest.mark.extended
def test_the_best_epoch_is_kept(tmp_path: Path) -> None:
    data = data_of(epochs=6, learning_rate=0.02, keep="best")
    learner, progress = trained(tmp_path, data)
    scores = [entry["held_out_kl"] for entry in progress.history]
    assert progress.kept_epoch == 1 + int(np.argmin(scores))
    found = predict(learner.network, data.source, data.partition.held_out)
    labels = data.labels[data.partition.held_out]
    assert fit.kl(labels, found) == pytest.approx(min(scores), rel=1e-6)


@pytest.mark.extended
def test_a_short_training_ends_with_statistics_of_its_clips(tmp_path: Path) -> None:
    """With Keras's momentum, 82 % of the initial variances would be left after these 20 steps."""
    data = data_of(epochs=4)
    learner, _ = trained(tmp_path, data)

    def variances() -> np.ndarray:
        norms = batch_norms(learner.network)
        return np.concatenate([keras.ops.convert_to_numpy(n.moving_variance) for n in norms])

    moving = variances()
    learner.become_average(learner.network.get_weights(), data.epoch(3))
    assert np.median(np.abs(np.log(moving / variances()))) < 0.1


@pytest.mark.extended
def test_averaged_weights_have_their_own_batch_statistics(tmp_path: Path) -> None:
    """The moving statistics are far off at first; after the refresh they fit the data."""
    data = data_of(epochs=1, average_epochs=1)
    learner, _ = trained(tmp_path, data)
    layer = batch_norms(learner.network)[0]
    inner = keras.Model(learner.network.input, layer.input)
    outputs = [keras.ops.convert_to_numpy(inner(b["decibels"])) for (b,) in data.epoch(0)]
    mean = np.mean([part.mean(axis=(0, 1, 2)) for part in outputs], axis=0)
    assert keras.ops.convert_to_numpy(layer.moving_mean) == pytest.approx(mean, abs=1e-3)


@pytest.mark.skipif(
    keras.backend.backend() == "jax",
    reason="JAX does not expose the weights between the steps of a fit",
)
@pytest.mark.extended
def test_an_epoch_ends_with_averaged_weights(tmp_path: Path) -> None:
    """With five steps per epoch, each step adds 0.2 of the weights to 0.8 of the average."""
    data = data_of(epochs=1, average_epochs=1)
    learner = learner_of(data)
    kernel = learner.network.layers[2].kernel
    recorded: list[np.ndarray] = []

    class Recorder(keras.callbacks.Callback):
        def on_train_batch_end(self, *_: object, **__: object) -> None:
            recorded.append(np.array(kernel.value))

    learner.model.fit(
        data.epoch(0), steps_per_epoch=5, shuffle=False, verbose=0, callbacks=[Recorder()]
    )
    average = recorded[0]
    for weights in recorded[1:]:
        average = 0.8 * average + 0.2 * weights
    assert np.array(kernel.value) == pytest.approx(average, abs=1e-6)
    assert np.abs(average - recorded[-1]).max() > 1e-4


@pytest.mark.extended
def test_non_finite_weights_are_a_divergence(tmp_path: Path) -> None:
    with raises(DivergedError, "weights-not-finite", epoch=1):
        trained(tmp_path, data_of(learning_rate=1e30))


@pytest.mark.extended
def test_a_loss_above_the_trivial_one_is_a_divergence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "PATIENCE_STEPS", 0)
    data = data_of(epochs=9, learning_rate=1e-9)
    with raises(DivergedError, "loss-above-trivial", epoch=6, trivial_loss=0.1):
        train(learner_of(data), data, Location(str(tmp_path)), ignore, 0.1)


@pytest.mark.extended
@pytest.mark.parametrize("on_device", [False, True])
def test_a_tail_average_does_not_change_the_training(tmp_path: Path, on_device: bool) -> None:
    """Epochs and losses are those without it; the kept weights are the mean of the last ends."""
    plain = data_of(on_device=on_device, epochs=4)
    tail = data_of(on_device=on_device, epochs=4, tail_epochs=2)
    ends, found = [], []
    for data in (plain, tail):
        learner = learner_of(data)
        network = learner.network

        def remember(event: Mapping[str, object], network: keras.Model = network) -> None:
            if event["event"] == "epoch":
                ends.append(network.get_weights())

        folder = tmp_path / str(len(found))
        progress = train(learner, data, Location(str(folder)), remember)
        found.append((learner, [entry["loss"] for entry in progress.history]))
    (_, losses), (learner, same_losses) = found
    assert same_losses == losses
    mean = [(a + b) / 2 for a, b in zip(ends[2], ends[3], strict=True)]
    kept = learner.network.get_weights()
    names = [variable.name for variable in learner.network.weights]
    for name, want, got in zip(names, mean, kept, strict=True):
        if not name.startswith("moving"):
            assert np.allclose(want, got, atol=1e-6), name
    # The statistics belong to the averaged weights, not to the average of statistics.
    moving = [i for i, name in enumerate(names) if name.startswith("moving")]
    assert moving
    assert any(not np.allclose(mean[i], kept[i], atol=1e-3) for i in moving)


@pytest.mark.parametrize(
    "stop",
    [
        pytest.param(2, marks=pytest.mark.nightly),
        pytest.param(3, marks=pytest.mark.extended),
        pytest.param(4, marks=pytest.mark.nightly),
    ],
)
def test_an_interrupted_tail_average_is_the_same(tmp_path: Path, stop: int) -> None:
    """Also where the interruption follows the last epoch, before the average is made."""
    data = data_of(epochs=4, tail_epochs=2)
    whole, _ = trained(tmp_path / "whole", data)
    folder = Location(str(tmp_path / "parts"))

    def interrupt(event: Mapping[str, object]) -> None:
        if event["event"] == "epoch" and event["epoch"] == stop:
            raise StoppedError

    with pytest.raises(StoppedError):
        train(learner_of(data), data, folder, interrupt)
    resumed = learner_of(data)
    train(resumed, data, folder, ignore)
    for one, other in zip(whole.network.get_weights(), resumed.network.get_weights(), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.extended
@pytest.mark.parametrize(
    "setting",
    [{"optimizer": "lion", "learning_rate": 0.003}, {"optimizer": "muon"}, {"clip_norm": 0.5}],
)
def test_optimisers_and_clipping_learn(tmp_path: Path, setting: dict[str, object]) -> None:
    data = data_of(**({"optimizer": "adamw", "learning_rate": 0.01} | setting | {"epochs": 12}))
    _, progress = trained(tmp_path, data, 2)
    assert progress.history[-1]["held_out_kl"] < progress.history[0]["held_out_kl"]
    assert progress.history[-1]["held_out_kl"] < 0.6  # the mean label: 0.69


def test_the_optimiser_clips_by_the_norm_of_all_gradients() -> None:
    learner = learner_of(data_of(optimizer="adamw", clip_norm=0.25))
    assert learner.model.optimizer.global_clipnorm == 0.25
    assert learner_of(data_of(optimizer="adamw")).model.optimizer.global_clipnorm is None
