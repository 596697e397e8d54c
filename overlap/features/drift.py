"""Drift between two sets of decibels, computed from the counts of their float16 codes.

The counts are a complete summary of the stored values, so every measure here is exact for them
and needs no pass over the features. The measures answer different questions:

- `network_shift`: can a network that was trained on the reference be trusted on the other clips?
  It is the distance between the inputs that the network receives from both. It ignores values
  below the floor, such as digital silence at -100 dB, which can dominate the distances in
  decibels but never reach a network. Its unit does not depend on the data.
- `wasserstein_db`, `mean_db`, `std_db` and `peak_db`: what kind of difference is it? A change of
  gain shifts mean and peak by equal amounts, and the distance with them. A change of background
  shifts the mean but not the peak. A change of compression alters the standard deviation.
- `ks`: how many values differ, regardless of by how much? A small `ks` with a large distance
  means that a few values differ strongly.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overlap.features.statistics import CODES, normalisation

_CODE_VALUES = np.arange(CODES, dtype=np.uint16).view(np.float16).astype(np.float64)
_FINITE = np.isfinite(_CODE_VALUES)
# Codes of negative values are in descending order; -0.0 and +0.0 are two codes of one value.
_VALUES, _VALUE_INDEX = np.unique(_CODE_VALUES[_FINITE], return_inverse=True)


@dataclass(frozen=True)
class Drift:
    """Drift of clips from a reference at one resolution.

    Differences are clips minus reference: positive means louder.
    """

    wasserstein_db: float
    """Wasserstein-1 distance, dB: the mean distance by which values must move to turn one
    distribution into the other."""
    ks: float
    """Kolmogorov-Smirnov distance: the largest difference of the two distribution functions, 0
    to 1."""
    mean_db: float
    """Difference of the means, dB."""
    std_db: float
    """Difference of the standard deviations, dB."""
    peak_db: float
    """Difference of the largest values, dB."""
    network_shift: float
    """Wasserstein-1 distance between the inputs of a network trained on the reference: values
    are clipped to the reference's floor and divided by its standard deviation."""


def drift(
    counts: NDArray[np.int64], reference: NDArray[np.int64], top_db: float
) -> tuple[Drift, ...]:
    """Compute the drift of counted values from those of a reference.

    Wasserstein-1 is the area between the two distribution functions, the integral of |F - G|
    (Vallender 1974, Theory of Probability and its Applications 18(4), 784-786);
    Kolmogorov-Smirnov is the largest |F - G|. Both are symmetric, and no measure depends on the
    number of counted values. Clipping values to a floor changes F and G only below it, so the
    distance of the clipped values is the part of the area above the floor.

    A trained network contains the floor, mean and standard deviation of its training clips and
    applies them to every input. `network_shift` therefore uses those of the reference for both
    sets; it is the only measure that is not symmetric. The mean cancels in a distance.

    Args:
        counts: (resolutions, 65536) int64: how often each float16 code occurs.
        reference: (resolutions, 65536) int64: the counts of the reference.
        top_db: The floor is this far below the reference's peak.

    Returns:
        The drift at each resolution.

    Raises:
        ValueError: Either set is empty, all values of a resolution of the reference are equal,
            or the numbers of resolutions differ.
    """
    constants = normalisation(reference, top_db)
    each = zip(counts, reference, constants.floor_db, constants.std_db, strict=True)
    return tuple(_drift(*one) for one in each)


def _drift(
    counts: NDArray[np.int64], reference: NDArray[np.int64], floor_db: float, std_db: float
) -> Drift:
    ours, theirs = _by_value(counts), _by_value(reference)
    difference = np.abs(_cumulative(ours) - _cumulative(theirs))[:-1]
    clipped = np.maximum(_VALUES, floor_db)
    return Drift(
        wasserstein_db=float(difference @ np.diff(_VALUES)),
        ks=float(difference.max()),
        mean_db=_mean(ours) - _mean(theirs),
        std_db=_std(ours) - _std(theirs),
        peak_db=_peak(ours) - _peak(theirs),
        network_shift=float(difference @ np.diff(clipped)) / std_db,
    )


def _by_value(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the counts of the distinct values, in ascending order of value."""
    ordered = np.zeros(len(_VALUES), np.int64)
    np.add.at(ordered, _VALUE_INDEX, counts[_FINITE])
    if not ordered.any():
        raise ValueError("no values were counted")
    return ordered


def _cumulative(ordered: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the distribution function at each distinct value."""
    sums = np.cumsum(ordered, dtype=np.float64)  # exact for fewer than 2**53 values
    cumulative: NDArray[np.float64] = sums / sums[-1]
    return cumulative


def _mean(ordered: NDArray[np.int64]) -> float:
    return float(np.average(_VALUES, weights=ordered))


def _std(ordered: NDArray[np.int64]) -> float:
    return float(np.sqrt(np.average((_VALUES - _mean(ordered)) ** 2, weights=ordered)))


def _peak(ordered: NDArray[np.int64]) -> float:
    return float(_VALUES[np.flatnonzero(ordered)[-1]])
