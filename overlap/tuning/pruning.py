"""Successive halving: after which epochs trials are compared, and how many of them continue.

Optuna's pruner decides; see Li et al., "A System for Massively Parallel Hyperparameter Tuning",
2020.
"""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from optuna.pruners import BasePruner

REDUCTION: Final = 3
"""Of the trials that reach an epoch at which trials are compared, one in so many continues."""


def first_rung(epochs: int) -> int:
    """Return the first epoch after which trials are compared; a ninth of all epochs."""
    return max(1, epochs // REDUCTION**2)


def successive_halving(rung: int) -> "BasePruner":
    """Return the pruner that compares trials after `rung` epochs, and `REDUCTION` times as many.

    Optuna is imported here, because most of what knows about studies works without it.
    """
    from optuna.pruners import SuccessiveHalvingPruner

    return SuccessiveHalvingPruner(min_resource=rung, reduction_factor=REDUCTION)
