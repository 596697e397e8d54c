"""The head for labels of k equal shares: a distribution over sets of exactly k words.

With a score s_w per word, the conditional Bernoulli distribution assigns to a set S of k words the
probability exp(sum of s_w over S) / Z. Z is the sum of these exponentials over all sets of k words:
the elementary symmetric polynomial of degree k in exp(s_w) (Chen, Dempster and Liu, 1994). The
network is trained with the negative logarithm of the probability of the true set. It predicts the
probability of each word to be in the set, divided by k. With k = 1 it is the softmax.

The polynomials are products of (1 + exp(s_w) t), truncated at degree k, with logarithms as
coefficients. They are multiplied in pairs: log2(words) levels instead of one step per word. The
cofactor of each word in Z follows from the same tree, traversed from the top down.
"""

from typing import Any

from overlap.training.keras_import import keras, ops

Tensor = Any  # of whichever backend Keras runs on
LOG_ZERO = -1e9
"""Logarithm of a coefficient of 0; with minus infinity the gradient would be NaN."""


def log_partition(scores: Tensor, k: int) -> Tensor:
    """Return the logarithm of the sum over all sets of k words.

    Args:
        scores: (clips, words) float32.
        k: Words per set, from 1 to the number of words.

    Returns:
        (clips,) float32.
    """
    return _tree(scores, k)[-1][:, 0, k]


def log_inclusion(scores: Tensor, k: int) -> Tensor:
    """Return the logarithm of each word's probability to be in the set.

    Args:
        scores: (clips, words) float32.
        k: Words per set.

    Returns:
        (clips, words) float32; their exponentials sum to k.
    """
    levels = _tree(scores, k)
    total = levels[-1][:, :, k]
    others = _one(levels[-1])  # cofactor of each node in the product at the top
    for level in reversed(levels[:-1]):
        left, right = level[:, 0::2], level[:, 1::2]
        pair = ops.stack([_product(others, right, k), _product(others, left, k)], axis=2)
        others = ops.reshape(pair, (-1, level.shape[1], k + 1))
    words = scores.shape[-1]
    return scores + others[:, :words, k - 1] - total


def _tree(scores: Tensor, k: int) -> list[Tensor]:
    """Return the products of each level, (clips, nodes, k + 1), from the leaves to the root."""
    words = scores.shape[-1]
    leaves = 1 << (words - 1).bit_length()
    constant = ops.zeros_like(scores)[..., None]
    parts = [constant, scores[..., None]]
    parts += [ops.full_like(constant, LOG_ZERO)] * (k - 1)
    level = ops.concatenate(parts, axis=-1)
    if leaves > words:
        ones = _one(level[:, : leaves - words])
        level = ops.concatenate([level, ones], axis=1)
    levels = [level]
    while levels[-1].shape[1] > 1:
        levels.append(_product(levels[-1][:, 0::2], levels[-1][:, 1::2], k))
    return levels


def _one(like: Tensor) -> Tensor:
    """Return the constant polynomial 1 in the shape of `like`."""
    zero = ops.zeros_like(like[..., :1])
    return ops.concatenate([zero, ops.full_like(like[..., 1:], LOG_ZERO)], axis=-1)


def _product(a: Tensor, b: Tensor, k: int) -> Tensor:
    """Multiply polynomials, truncated at degree k, with logarithms as coefficients."""
    degrees = [
        ops.logsumexp(a[..., : n + 1] + ops.flip(b[..., : n + 1], axis=-1), axis=-1)
        for n in range(k + 1)
    ]
    return ops.stack(degrees, axis=-1)


@keras.saving.register_keras_serializable(package="overlap")
class SubsetShares(keras.layers.Layer):  # type: ignore[misc]  # keras publishes no types
    """Converts scores to shares: the probability of each word to be in the set, divided by k.

    Args:
        k: Words per set.
    """

    def __init__(self, k: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.k = k

    def call(self, scores: Tensor) -> Tensor:
        """Return (clips, words) shares, which sum to 1, of (clips, words) scores."""
        inclusion = ops.exp(log_inclusion(scores, self.k))
        return inclusion / ops.sum(inclusion, axis=-1, keepdims=True)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "k": self.k}
