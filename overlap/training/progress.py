"""Progress of a member's training in `progress.jsonl`: one JSON object per finished epoch.

The file is for readers, such as `overlap view`. No result depends on it, no record lists it, and a
failure to write it never ends a training. Object stores cannot append to a file, so it is replaced
as a whole, at most once a second; a training of 200 epochs has 40 kB.
"""

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from overlap.errors import OverlapError
from overlap.io.location import Location
from overlap.io.workspace_paths import MemberPaths
from overlap.system.child_process import Emit

WRITE_SECONDS: Final = 1.0
"""Shortest time between two writes, except for the last epoch."""
RESTARTS: Final = ("diverged", "again")
"""Events after which the training begins again with its first epoch."""


@dataclass(frozen=True)
class EpochProgress:
    """One finished epoch of a training."""

    epoch: int
    """Number of the epoch, from 1."""
    epochs: int
    """Number of epochs of the whole training."""
    loss: float | None
    """Training loss, nats; None if it is not finite."""
    held_out_kl: float | None
    """KL on the held-out clips, nats; None without held-out clips."""
    seconds: float
    """Time in training epochs so far, s."""
    clips_per_second: float
    """Mean speed of the training so far."""
    device: str
    """Name of the device that trained the epoch; empty if unknown."""
    time: datetime
    """When the epoch ended, UTC."""


def recording(folder: Location, emit: Emit) -> Emit:
    """Return a function that reports events like `emit`, and records the epochs among them.

    Args:
        folder: The member's folder.
        emit: Receives every event first.
    """
    recorder = _Recorder(MemberPaths(folder).progress)

    def reported(event: Mapping[str, Any]) -> None:
        emit(event)
        recorder.record(event)

    return reported


def read_progress(folder: Location) -> tuple[EpochProgress, ...]:
    """Return the finished epochs of a member's training, oldest first.

    Lines that cannot be read are skipped; the result is empty without a file.

    Args:
        folder: The member's folder.
    """
    try:
        lines = MemberPaths(folder).progress.read_bytes().splitlines()
    except OSError:
        return ()
    found = (_parsed(line) for line in lines)
    return tuple(epoch for epoch in found if epoch is not None)


class _Recorder:
    """Writes the epochs of one training process."""

    def __init__(self, location: Location) -> None:
        self._location, self._device = location, ""
        self._lines: list[bytes] | None = None
        self._pending, self._written = False, -math.inf

    def record(self, event: Mapping[str, Any]) -> None:
        """Take an event; whatever fails is ignored."""
        try:
            self._record(event)
        except (OSError, OverlapError, ValueError, TypeError, KeyError):
            return  # the file is informative only

    def _record(self, event: Mapping[str, Any]) -> None:
        kind = event.get("event")
        if kind == "plan":
            self._device = str(event.get("device", ""))
        elif kind in RESTARTS:
            self._lines = []
            self._write()
        elif kind == "epoch":
            self._lines = [*self._earlier(int(event["epoch"])), self._line(event)]
            self._pending = True
            last = event["epoch"] >= event["epochs"]
            if last or time.monotonic() - self._written >= WRITE_SECONDS:
                self._write()
        elif self._pending:
            self._write()

    def _earlier(self, epoch: int) -> list[bytes]:
        """Return the lines before an epoch: a training may resume before the last of them."""
        if self._lines is None:
            exists = self._location.exists()
            self._lines = self._location.read_bytes().splitlines() if exists else []
        parsed = ((line, _parsed(line)) for line in self._lines)
        return [line for line, known in parsed if known is not None and known.epoch < epoch]

    def _line(self, event: Mapping[str, Any]) -> bytes:
        names = ("epoch", "epochs", "loss", "held_out_kl", "seconds", "clips_per_second")
        values = {name: event[name] for name in names if name in event}
        values |= {"device": self._device, "time": datetime.now(UTC).isoformat(timespec="seconds")}
        return json.dumps(values).encode()

    def _write(self) -> None:
        self._written, self._pending = time.monotonic(), False
        self._location.write_bytes(b"".join(line + b"\n" for line in self._lines or ()))


def _parsed(line: bytes) -> EpochProgress | None:
    try:
        values = json.loads(line)
        return EpochProgress(
            epoch=int(values["epoch"]),
            epochs=int(values["epochs"]),
            loss=_finite(values.get("loss")),
            held_out_kl=_finite(values.get("held_out_kl")),
            seconds=float(values.get("seconds", 0.0)),
            clips_per_second=float(values.get("clips_per_second", 0.0)),
            device=str(values.get("device", "")),
            time=datetime.fromisoformat(values["time"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _finite(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
