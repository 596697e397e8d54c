"""What the jobs of a prediction found, as one table."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overlap.catalog.build import report_audio
from overlap.catalog.problems import Problems
from overlap.catalog.rows import OK, QUARANTINED
from overlap.config import ChecksConfig
from overlap.ensemble.submission import submission_table, write_table
from overlap.errors import CorruptError, DataError
from overlap.io.location import Location
from overlap.metrics.disagreement import spread_column
from overlap.prediction.jobs import PredictionChunk, PredictionPlan, read_found


@dataclass(frozen=True, eq=False)
class PredictionTable:
    """The predictions of a folder of clips."""

    table: pd.DataFrame
    """id, one column per word, and the spread in nats (NaN where the clip cannot be used)."""
    beside: str
    """Name of the column of the spread."""
    imputed: tuple[str, ...]
    """Ids of clips whose audio cannot be used: their row is the mean prediction."""
    warnings: tuple[str, ...]
    """What was repaired or cannot be used, a line each."""

    def write(self, location: Location) -> None:
        """Check the table and write it."""
        write_table(self.table, location, (self.beside,))


def prediction_table(plan: PredictionPlan) -> PredictionTable:
    """Put what the jobs found together, in the order of the plan.

    Raises:
        DataError: no clip can be used.
        CorruptError: a job has not been done, or what it found is gone.
    """
    found = [read_found(job) for job in plan.jobs]
    parts = [part for part in found if part is not None]
    if len(parts) < len(found):
        raise CorruptError(
            f"{len(found) - len(parts)} of {len(found)} parts of the predictions are not there or "
            "damaged; run again: the others are kept"
        )
    whole = PredictionChunk(
        *(np.concatenate(arrays) for arrays in zip(*map(_arrays, parts), strict=True))
    )
    usable = np.flatnonzero(whole.reason == "")
    if not len(usable):
        reasons = ", ".join(sorted(set(whole.reason))[:5])
        raise DataError(f"{plan.data}: no clip there can be used: {reasons}")
    own = whole.shares[usable].astype(np.float64)
    table, imputed = submission_table(plan.clips, usable, own, plan.ensemble.words)
    beside = spread_column(plan.words)
    table = table[["id", *plan.words]].assign(**{beside: whole.spread[plan.clips.index]})
    return PredictionTable(table, beside, tuple(imputed), _warnings(plan, whole))


def _arrays(part: PredictionChunk) -> tuple[NDArray[np.generic], ...]:
    return part.shares, part.spread, part.reason, part.repairs, part.clipped


def _warnings(plan: PredictionPlan, found: PredictionChunk) -> tuple[str, ...]:
    problems = Problems()
    heard = plan.clips.sort_index().assign(
        split="test",
        repairs=found.repairs,
        clipped=found.clipped,
        reason=found.reason,
        state=np.where(found.reason == "", OK, QUARANTINED),
    )
    report_audio(heard, ChecksConfig(max_bad_fraction=1.0), problems)
    return tuple(problems.warnings)
