"""How far two sets of decibels are apart, from the counts of their float16 codes.

The counts are a complete summary of the stored values, so every figure here is exact for them
and costs no pass over the features. What each is good for:

- `network_shift` answers whether a network that learned from the reference can be trusted on
  the other clips: it is the distance between what the network would be given of both. It leaves
  out what no network hears (values below the floor, such as digital silence at -100 dB, which
  can dominate the distances in decibels), and its unit does not depend on the data.
- `wasserstein_db`, `mean_db`, `std_db` and `peak_db` say what kind of difference it is. Another
  gain moves mean and peak by equal amounts, and the distance with them; another background
  moves the mean and leaves the peak; another compression changes the spread.
- `ks` says how many values differ, whatever by how much: a small one beside a large distance
  means that a few values are far away.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overlap.features.statistics import CODES, normalisation

_CODE_VALUES = np.arange(CODES, dtype=np.uint16).view(np.float16).astype(np.float64)
_FINITE = np.isfinite(_CODE_VALUES)
# Codes of negative values are in descending order, and -0.0 and +0.0 are two codes of one value.
_VALUES, _PLACES = np.unique(_CODE_VALUES[_FINITE], return_inverse=True)


@dataclass(frozen=True)
class Drift:
    """How far some clips are from a reference, at one resolution.

    Differences are those of the clips less those of the reference: positive is louder.
    """

    wasserstein_db: float
    """Wasserstein-1 distance, dB: how far a value has to be moved, on average, to turn the one
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
    """Wasserstein-1 distance of the inputs that a network trained on the reference gets: values
    raised to the reference's floor, in units of the reference's standard deviation there."""


def drift(
    counts: NDArray[np.int64], reference: NDArray[np.int64], top_db: float
) -> tuple[Drift, ...]:
    """How far the counted values are from those of a reference.

    Wasserstein-1 is the area between the two distribution functions, the integral of |F - G|
    (Vallender 1974, Theory of Probability and its Applications 18(4), 784-786);
    Kolmogorov-Smirnov is the largest |F - G|. Both are symmetric, and no figure depends on how
    many values were counted. Raising values to a floor changes F and G only below it: the
    distance of the raised values is the part of the area above the floor.

    A trained network carries the floor, mean and standard deviation of the clips it learned
    from, and applies them to whatever it is given. So `network_shift` uses those of the
    reference for both sets, and it alone is not symmetric. The mean drops out of a distance.

    Args:
        counts: (resolutions, 65536) int64: how often each float16 code occurs.
        reference: The same of the reference.
        top_db: The floor is this far below the reference's peak.

    Returns:
        One per resolution.

    Raises:
        ValueError: one of the two is empty, all values of a resolution of the reference are
            equal, or the resolutions are not as many.
    """
    constants = normalisation(reference, top_db)
    each = zip(counts, reference, constants.floor_db, constants.std_db, strict=True)
    return tuple(_drift(*one) for one in each)


def _drift(
    counts: NDArray[np.int64], reference: NDArray[np.int64], floor_db: float, std_db: float
) -> Drift:
    mine, theirs = _in_order(counts), _in_order(reference)
    apart = np.abs(_distribution(mine) - _distribution(theirs))[:-1]
    raised = np.maximum(_VALUES, floor_db)
    return Drift(
        wasserstein_db=float(apart @ np.diff(_VALUES)),
        ks=float(apart.max()),
        mean_db=_mean(mine) - _mean(theirs),
        std_db=_std(mine) - _std(theirs),
        peak_db=_peak(mine) - _peak(theirs),
        network_shift=float(apart @ np.diff(raised)) / std_db,
    )


def _in_order(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Counts of the distinct values, the smallest value first."""
    ordered = np.zeros(len(_VALUES), np.int64)
    np.add.at(ordered, _PLACES, counts[_FINITE])
    if not ordered.any():
        raise ValueError("no values were counted")
    return ordered


def _distribution(ordered: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of the values up to each distinct value."""
    up_to = np.cumsum(ordered, dtype=np.float64)  # exact: there are fewer than 2**53 values
    shares: NDArray[np.float64] = up_to / up_to[-1]
    return shares


def _mean(ordered: NDArray[np.int64]) -> float:
    return float(np.average(_VALUES, weights=ordered))


def _std(ordered: NDArray[np.int64]) -> float:
    return float(np.sqrt(np.average((_VALUES - _mean(ordered)) ** 2, weights=ordered)))


def _peak(ordered: NDArray[np.int64]) -> float:
    return float(_VALUES[np.flatnonzero(ordered)[-1]])
