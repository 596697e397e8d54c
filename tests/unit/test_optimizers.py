"""Muon: which variables it updates, and by what."""

import keras
import numpy as np
import pytest

from overlap.config import TrainingConfig
from overlap.training.engine.optimizers import MOMENTUM, Muon, build_optimizer, orthogonal
from overlap.training.network import SCORES


@pytest.mark.parametrize("shape", [(12, 5), (5, 12), (7, 7)])
def test_the_result_has_the_singular_vectors_of_the_matrix(shape: tuple[int, int]) -> None:
    matrix = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    found = keras.ops.convert_to_numpy(orthogonal(keras.ops.convert_to_tensor(matrix)))
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    inner = left.T @ found @ right.T
    values = np.diag(inner)
    assert np.abs(inner - np.diag(values)).max() < 1e-4
    assert 0.6 < values.min() <= values.max() < 1.25


def layers() -> list[keras.layers.Layer]:
    built = [keras.layers.Conv2D(6, 3), keras.layers.BatchNormalization(),
             keras.layers.Dense(5), keras.layers.Dense(4, name=SCORES)]  # fmt: skip
    shapes = [(None, 9, 9, 4), (None, 7, 7, 6), (None, 6), (None, 5)]
    for layer, shape in zip(built, shapes, strict=True):
        layer.build(shape)
    return built


def test_kernels_move_orthogonally_and_the_rest_as_with_adamw() -> None:
    """Two steps: the update of a kernel depends on its momentum alone, not on squared gradients."""
    random = np.random.default_rng(1)
    variables = [v for layer in layers() for v in layer.trainable_variables]
    others = [keras.Variable(v, name=v.name) for v in variables]
    ours = Muon(0.01, weight_decay=0.0)
    adamw = keras.optimizers.AdamW(0.01, weight_decay=0.0)
    before = [keras.ops.convert_to_numpy(v) for v in variables]
    steps = [[random.normal(size=v.shape).astype(np.float32) for v in variables] for _ in range(2)]
    for gradients in steps:
        ours.apply([keras.ops.convert_to_tensor(g) for g in gradients], variables)
        adamw.apply([keras.ops.convert_to_tensor(g) for g in gradients], others)
    kernels = 0
    for place, (variable, other) in enumerate(zip(variables, others, strict=True)):
        found = keras.ops.convert_to_numpy(variable)
        if variable.path.endswith("kernel") and SCORES not in variable.path:
            kernels += 1
            rows, columns = int(np.prod(variable.shape[:-1])), variable.shape[-1]
            expected, momentum = before[place].reshape(rows, columns), 0.0
            for gradients in steps:
                gradient = gradients[place].reshape(rows, columns)
                momentum = MOMENTUM * momentum + gradient
                ahead = keras.ops.convert_to_tensor(gradient + MOMENTUM * momentum)
                move = keras.ops.convert_to_numpy(orthogonal(ahead))
                expected = expected - 0.01 * 0.2 * np.sqrt(max(rows, columns)) * move
            assert np.abs(found.reshape(rows, columns) - expected).max() < 1e-5
            sizes = np.sqrt(np.mean((found - before[place]) ** 2))
            assert 0.001 < sizes < 0.006  # of two steps at a rate of 0.01
        else:
            assert np.abs(found - keras.ops.convert_to_numpy(other)).max() < 1e-6
    assert kernels == 2


def test_only_kernels_decay() -> None:
    optimizer = build_optimizer(TrainingConfig(optimizer="muon", weight_decay=0.1), 3)
    variables = [v for layer in layers() for v in layer.trainable_variables]
    optimizer.build(variables)
    decaying = {v.path.split("/")[-1] for v in variables if optimizer._use_weight_decay(v)}
    assert decaying == {"kernel"}
