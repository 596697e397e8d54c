"""Compares a new ensemble with the trivial prediction, the mean training label.

The comparison is paired over the ensemble's held-out clips: each is scored with the ensemble's
held-out prediction, and with the mean label of the clips that the members of its fold trained on.
"""

import numpy as np

from overlap.catalog import Catalog, are_grouped
from overlap.ensemble.exposure import TrainingExposure, clip_digests, digest_scheme
from overlap.ensemble.registry import EnsembleRecord, read_predictions
from overlap.errors import CorruptError
from overlap.io.location import Location
from overlap.metrics.divergence import kl_per_clip, trivial_prediction
from overlap.promotion.comparison import paired_gain
from overlap.promotion.outcome import TrivialCheck, TrivialComparison

MIN_CLIPS = 2
"""With fewer held-out clips the interval has no width and means nothing."""


def check_trivial(
    workspace: Location,
    record: EnsembleRecord,
    confidence: float,
    catalog: Catalog | None = None,
) -> TrivialCheck:
    """Compare a published ensemble with the trivial prediction.

    Args:
        workspace: The workspace.
        record: The ensemble.
        confidence: Confidence level of the gain's interval.
        catalog: The catalogue of the workspace; None: read it.
    """
    if record.kl is None:
        return TrivialCheck(None, "no clips are held out")
    catalog = Catalog.load(workspace) if catalog is None else catalog
    try:
        saved = read_predictions(workspace, record)
    except (OSError, CorruptError):
        return TrivialCheck(None, "its predictions cannot be read")
    exposure = TrainingExposure.from_arrays(saved, digest_scheme(catalog))
    rows = catalog.rows("train")
    unchanged = (
        catalog.words == record.words
        and exposure is not None
        and np.array_equal(exposure.audio, clip_digests(catalog, rows))
    )
    if not unchanged or exposure is None:
        return TrivialCheck(None, "the training clips have changed since")
    held = exposure.fold >= 0
    if np.count_nonzero(held) < MIN_CLIPS:
        return TrivialCheck(None, f"fewer than {MIN_CLIPS} clips are held out")
    labels, trivial = catalog.labels[rows], np.empty((len(rows), len(catalog.words)))
    for fold in np.unique(exposure.fold[held]):
        inside = exposure.fold == fold
        if inside.all():
            return TrivialCheck(None, "all clips are held out")
        trivial[inside] = trivial_prediction(labels[~inside], int(inside.sum()))
    kls = np.stack(
        [kl_per_clip(labels[held], trivial[held]), kl_per_clip(labels[held], saved["held_out"])]
    )
    names = exposure.group if are_grouped(catalog) else np.arange(len(rows))
    groups = np.unique(names[held], return_inverse=True)[1]
    gain = paired_gain(kls[0] - kls[1], groups, confidence)
    trivial_kl, kl = kls.mean(axis=1).tolist()
    return TrivialCheck(TrivialComparison(kl=kl, trivial_kl=trivial_kl, **gain.model_dump()))
