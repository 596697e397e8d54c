"""Combines the chunks of a prediction into one table."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overlap.audio.clips import TOO_LARGE
from overlap.catalog.build import report_audio
from overlap.catalog.problems import Problems
from overlap.catalog.rows import OK, QUARANTINED
from overlap.config import ChecksConfig
from overlap.ensemble.submission import submission_table, table_bytes
from overlap.errors import CorruptError, DataError
from overlap.io.formatting import counted
from overlap.io.location import Location
from overlap.io.user_output import write_output
from overlap.metrics.disagreement import spread_column
from overlap.prediction.jobs import PredictionChunk, PredictionPlan, read_chunk


@dataclass(frozen=True, eq=False)
class PredictionTable:
    """The predictions of a folder of clips."""

    table: pd.DataFrame
    """id, one column per word, and the disagreement in nats (NaN for unusable clips)."""
    disagreement_column: str
    """Name of the column of the disagreement."""
    imputed: tuple[str, ...]
    """Ids of the clips with unusable audio; their row is the mean prediction."""
    warnings: tuple[str, ...]
    """Lines that list repaired and unusable clips."""

    def write(self, location: Location) -> None:
        """Check the table and write it as CSV to where the user wants it."""
        write_output(location, table_bytes(self.table, location, (self.disagreement_column,)))


def prediction_table(plan: PredictionPlan) -> PredictionTable:
    """Combine the chunks of all jobs, in the order of the plan.

    Raises:
        DataError: No clip is usable (code `no-usable-clip`).
        CorruptError: The chunk of a job is missing or damaged (code `chunks-missing`).
    """
    results = [read_chunk(job) for job in plan.jobs]
    chunks = [chunk for chunk in results if chunk is not None]
    missing = len(results) - len(chunks)
    if missing:
        raise CorruptError(
            f"{missing} of {counted(len(results), 'part')} of the predictions are missing or "
            "damaged; run the prediction again, which computes only these",
            code="chunks-missing", missing=missing, parts=len(results),
        )  # fmt: skip
    whole = PredictionChunk(
        *(np.concatenate(arrays) for arrays in zip(*map(_arrays, chunks), strict=True))
    )
    usable = np.flatnonzero(whole.reason == "")
    if not len(usable):
        reasons = sorted(set(whole.reason))[:5]
        raise DataError(
            f"{plan.data}: no clip is usable: {', '.join(reasons)}",
            code="no-usable-clip", path=plan.data, reasons=[str(reason) for reason in reasons],
        )  # fmt: skip
    probabilities = whole.probabilities[usable].astype(np.float64)
    table, imputed = submission_table(plan.clips, usable, probabilities, plan.ensemble.words)
    column = spread_column(plan.words)
    table = table[["id", *plan.words]].assign(**{column: whole.disagreement[plan.clips.index]})
    return PredictionTable(table, column, tuple(imputed), _warnings(plan, whole))


def _arrays(chunk: PredictionChunk) -> tuple[NDArray[np.generic], ...]:
    return chunk.probabilities, chunk.disagreement, chunk.reason, chunk.repairs, chunk.clipped


def _warnings(plan: PredictionPlan, whole: PredictionChunk) -> tuple[str, ...]:
    problems = Problems()
    clips = plan.clips.sort_index().assign(
        split="test",
        repairs=whole.repairs,
        clipped=whole.clipped,
        reason=whole.reason,
        state=np.where(whole.reason == "", OK, QUARANTINED),
    )
    report_audio(clips, ChecksConfig(max_bad_fraction=1.0), problems)
    longer = np.char.find(whole.repairs, "trimmed") >= 0
    if longer.any() or np.char.startswith(whole.reason, TOO_LARGE).any():
        problems.add(
            "only the beginning of a sound that is longer than a clip is predicted; `overlap "
            "predict --recordings` predicts all of it, in windows",
            code="longer-than-clip",
            fatal=False,
        )
    return (*plan.warnings, *problems.warnings)
