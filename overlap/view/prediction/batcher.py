"""Collects the clips of concurrent requests into batches, which one thread predicts.

While a batch is computed, further clips wait, and the next batch takes all of them up to
`BATCH_CLIPS`. A single client therefore never waits for others to come, and many clients share the
fixed cost of every call.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from overlap.audio.decode import Clip
from overlap.config import AudioFormat
from overlap.errors import OverlapError
from overlap.features.compute import compute_features
from overlap.prediction.worker import predict_decibels
from overlap.view.prediction.champion_holder import LoadedEnsemble

BATCH_CLIPS: Final = 64
"""Most clips per batch, unless one request has more."""


class BusyError(OverlapError, RuntimeError):
    """Too many clips wait for a prediction, or too many pictures to be drawn."""

    default_code = "busy"


@dataclass(frozen=True, eq=False)
class Predicted:
    """The prediction of the clips of one request."""

    ensemble: LoadedEnsemble
    probabilities: NDArray[np.float32]
    """(clips, words)."""
    disagreement: NDArray[np.float32]
    """(clips,) nats."""


class FormatChangedError(OverlapError, RuntimeError):
    """The champion was replaced by one with another clip format while a request waited."""

    default_code = "format-changed"


@dataclass(eq=False)
class _Waiting:
    clips: Sequence[Clip]
    wanted: AudioFormat
    answer: "asyncio.Future[Predicted]"


class Batcher:
    """Predicts the clips of concurrent requests.

    Args:
        current: Returns the ensemble to predict with; called in the predicting thread.
        most_waiting: Most clips that wait.
        on_batch: Receives the number of clips of every batch.
    """

    def __init__(
        self,
        current: Callable[[], LoadedEnsemble],
        most_waiting: int,
        on_batch: Callable[[int], None] = lambda _clips: None,
    ) -> None:
        self._current, self._most, self._on_batch = current, most_waiting, on_batch
        self._waiting: deque[_Waiting] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="predict")
        self._work: asyncio.Task[None] | None = None

    @property
    def waiting_clips(self) -> int:
        """Number of clips that wait."""
        return sum(len(one.clips) for one in self._waiting)

    async def predict(self, clips: Sequence[Clip], wanted: AudioFormat) -> Predicted:
        """Predict the clips of a request.

        Args:
            clips: Decoded clips.
            wanted: The format that they were decoded to.

        Raises:
            BusyError: Too many clips wait.
            FormatChangedError: The champion takes clips of another format now.
            OverlapError: There is no champion.
        """
        if self.waiting_clips + len(clips) > self._most:
            raise BusyError(
                f"{self.waiting_clips} clips wait for a prediction; try again later",
                waiting=self.waiting_clips,
            )
        one = _Waiting(clips, wanted, asyncio.get_running_loop().create_future())
        self._waiting.append(one)
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._predict_waiting())
        return await one.answer

    async def close(self) -> None:
        """Refuse the clips that wait, and end the thread."""
        while self._waiting:
            self._waiting.popleft().answer.cancel()
        if self._work is not None:
            await asyncio.wait([self._work])
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _predict_waiting(self) -> None:
        loop = asyncio.get_running_loop()
        while batch := self._next_batch():
            try:
                answers = await loop.run_in_executor(self._thread, self._predict, batch)
            except Exception as error:  # noqa: BLE001  every request of the batch gets the error
                answers = [error] * len(batch)
            for one, answer in zip(batch, answers, strict=True):
                if one.answer.done():  # the client has gone
                    continue
                if isinstance(answer, Exception):
                    one.answer.set_exception(answer)
                else:
                    one.answer.set_result(answer)

    def _next_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        clips = 0
        while self._waiting and (not batch or clips + len(self._waiting[0].clips) <= BATCH_CLIPS):
            one = self._waiting.popleft()
            if not one.answer.done():
                batch.append(one)
                clips += len(one.clips)
        return batch

    def _predict(self, batch: list[_Waiting]) -> list[Predicted | Exception]:
        ensemble = self._current()
        wanted = ensemble.features.clip_format
        fitting = [one for one in batch if one.wanted == wanted]
        found = iter(self._predict_clips([clip for one in fitting for clip in one.clips], ensemble))
        answers: list[Predicted | Exception] = []
        for one in batch:
            if one.wanted != wanted:
                answers.append(FormatChangedError("another champion takes other clips"))
                continue
            rows = [next(found) for _ in one.clips]
            answers.append(
                Predicted(
                    ensemble, np.stack([row[0] for row in rows]), np.array([row[1] for row in rows])
                )
            )
        return answers

    def _predict_clips(
        self, clips: Sequence[Clip], ensemble: LoadedEnsemble
    ) -> list[tuple[NDArray[np.float32], np.float32]]:
        """Return probabilities and disagreement of every clip."""
        if not clips:
            return []
        self._on_batch(len(clips))
        # In this thread: another one would have to make its buffers of the kernel for each batch.
        samples = np.stack([clip.samples for clip in clips])
        decibels = np.empty((len(clips), *ensemble.features.shape), np.float16)
        compute_features(samples, ensemble.features, decibels)
        pooled, apart = predict_decibels(
            ensemble.networks, ensemble.record.fitted, decibels, len(clips)
        )
        return list(zip(pooled.astype(np.float32), apart.astype(np.float32), strict=True))
