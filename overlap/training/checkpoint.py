"""The checkpoint of an unfinished training: every variable that training changes, and its progress.

A checkpoint is used only if it fits the learner as a whole. Keras promises nothing about the
number, the order or the types of its variables: another version or backend has others, and a part
of them must never be mixed with the state of a new training.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from overlap.errors import CorruptError
from overlap.io.location import Location
from overlap.io.records import from_json
from overlap.training.backends.resumed import ABOUT
from overlap.training.keras_import import keras
from overlap.training.learner import Learner


@dataclass
class Progress:
    """The progress of a training; stored in the checkpoint."""

    history: list[dict[str, float]] = field(default_factory=list)
    """Per finished epoch: loss, and held_out_kl where clips are held out."""
    seconds: float = 0.0
    """Time in training epochs, over all attempts, s."""
    waited: float = 0.0
    """Part of that time in which the device waited for a batch, s."""
    joules: float | None = None
    """Energy used in training epochs, J; None if the device does not report it."""
    kept_epoch: int = 0
    """Epoch whose weights are kept, counted from 1."""
    backend: str = field(default_factory=keras.backend.backend)
    """Keras's backend; empty in checkpoints of releases that did not record it."""


def checkpoint_arrays(
    learner: Learner, progress: Progress, best: Sequence[NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Return the arrays of a checkpoint; the next epoch does not change them.

    Args:
        learner: The learner after an epoch.
        progress: Its progress.
        best: The weights to keep so far.
    """
    about = json.dumps(asdict(progress))
    copies = {name: np.array(value) for name, value in _named(learner.state, best).items()}
    return {ABOUT: np.frombuffer(about.encode(), np.uint8), **copies}


class CheckpointWriter:
    """Writes checkpoints in a thread, one at a time, while the next epoch runs.

    As a context it ends when the last checkpoint is written.

    Args:
        location: File of the checkpoint; each one replaces the last.
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None

    def write(self, arrays: Mapping[str, NDArray[Any]], written: Callable[[], None]) -> None:
        """Begin to write a checkpoint when the previous one is written.

        Args:
            arrays: What `checkpoint_arrays` returns.
            written: Called in the thread after the checkpoint is written.

        Raises:
            Exception: The previous checkpoint was not written.
        """
        self.wait()
        self._pending = self._thread.submit(self._write, arrays, written)

    def _write(self, arrays: Mapping[str, NDArray[Any]], written: Callable[[], None]) -> None:
        self._location.write_arrays(dict(arrays))
        written()

    def wait(self) -> None:
        """Wait until the checkpoint is written.

        Raises:
            Exception: It was not written.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for the last checkpoint; an error of it ends the training."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()


def restore_checkpoint(
    learner: Learner, location: Location
) -> tuple[Progress, list[NDArray[Any]]] | None:
    """Give a learner the state of the checkpoint; the learner changes completely or not at all.

    Returns:
        The progress, and the weights to keep so far; None where there is no checkpoint.

    Raises:
        CorruptError: The file is damaged (`not-arrays`, `not-json`, `not-a-record`), or does not
            fit the learner, as after a change of Keras's version or backend
            (`foreign-checkpoint`).
    """
    if not location.exists():
        return None
    saved = location.read_arrays()
    weights = learner.network.get_weights()
    progress = _progress(saved, str(location))
    _check_backend(progress, str(location))
    _check_fits(saved, _named(learner.state, weights), str(location))
    progress.backend = keras.backend.backend()
    for index, variable in enumerate(learner.state):
        variable.assign(saved[f"v{index}"])
    return progress, [saved[f"k{index}"] for index in range(len(weights))]


def _named(state: Sequence[Any], best: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the arrays of a checkpoint by their keys, without the progress."""
    values = [keras.ops.convert_to_numpy(variable.value) for variable in state]
    return {f"v{index}": array for index, array in enumerate(values)} | {
        f"k{index}": array for index, array in enumerate(best)
    }


def _check_backend(progress: Progress, where: str) -> None:
    now = keras.backend.backend()
    if progress.backend not in ("", now):
        raise CorruptError(
            f"{where}: the training began with the backend {progress.backend}, and this one is "
            f"{now}",
            code="foreign-checkpoint", path=where, backend=progress.backend,
        )  # fmt: skip


def _check_fits(
    saved: Mapping[str, NDArray[Any]], expected: Mapping[str, NDArray[Any]], where: str
) -> None:
    differing = [
        name
        for name in sorted({*saved, *expected} - {ABOUT}, key=lambda name: (name[:1], len(name)))
        if name not in saved
        or name not in expected
        or (saved[name].shape, saved[name].dtype) != (expected[name].shape, expected[name].dtype)
    ]
    if differing:
        raise CorruptError(
            f"{where}: does not fit the network and optimiser of Keras {keras.__version__} with "
            f"the backend {keras.backend.backend()}: {len(differing)} of {len(expected)} arrays "
            "differ, so another version or backend wrote it",
            code="foreign-checkpoint", path=where, differing=len(differing),
        )  # fmt: skip


def _progress(saved: Mapping[str, NDArray[Any]], where: str) -> Progress:
    """Parse the progress; fields of a later release are ignored."""
    about = from_json(saved[ABOUT].tobytes() if ABOUT in saved else b"", where)
    known = {one.name for one in fields(Progress)}
    if not isinstance(about, dict) or not isinstance(about.get("history"), list):
        raise CorruptError(
            f"{where}: is damaged: it does not contain the progress",
            code="not-a-record", path=where,
        )  # fmt: skip
    return Progress(**{"backend": "", **{n: value for n, value in about.items() if n in known}})
