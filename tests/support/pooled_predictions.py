"""Synthetic predictions for which the right pooling is known."""

import numpy as np

from overlap.ensemble.held_out import HeldOutPredictions
from overlap.metrics.divergence import trivial_prediction


def tempered(rows: np.ndarray, exponent: float) -> np.ndarray:
    """Return normalised rows of q^exponent."""
    raised = rows**exponent
    return raised / raised.sum(axis=-1, keepdims=True)


def softened(clips: int, words: int = 6, seed: int = 0) -> np.ndarray:
    """Return (clips, words) distributions without zeros."""
    rows = np.random.default_rng(seed).dirichlet(np.ones(words), clips)
    return tempered(rows + 0.02, 1)


def noisy(labels: np.ndarray, members: int, noise: float = 0.5, seed: int = 1) -> np.ndarray:
    """Return (members, clips, words): the labels with an independent error per member."""
    rng = np.random.default_rng(seed)
    return tempered(labels * np.exp(noise * rng.standard_normal((members, *labels.shape))), 1)


def held_out(
    rounds: np.ndarray, labels: np.ndarray, groups: np.ndarray | None = None, folds: int = 1
) -> HeldOutPredictions:
    """Return rounds of members; with folds, members are in the order of their folds."""
    clips = np.arange(len(labels))
    return HeldOutPredictions(
        rows=clips,
        rounds=rounds,
        labels=labels,
        trivial=trivial_prediction(labels, len(labels)),
        groups=clips if groups is None else groups,
        members=np.arange(len(rounds) * folds).reshape(len(rounds), folds),
    )


def distributions(rows: int, seed: int = 0) -> np.ndarray:
    """(rows, 4) random probabilities."""
    return np.random.default_rng(seed).dirichlet(np.ones(4), rows)


def equal_labels(rows: int, seed: int = 0) -> np.ndarray:
    """(rows, 4) labels: two of four words in equal shares."""
    picks = np.random.default_rng(seed).random((rows, 4)).argsort(axis=1)[:, :2]
    values = np.zeros((rows, 4))
    np.put_along_axis(values, picks, 0.5, axis=1)
    return values
