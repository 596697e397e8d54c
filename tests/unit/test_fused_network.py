"""The fused network against the layers of Keras: scores, gradients and moving statistics."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from overlap.bench.untrained_learner import untrained_learner
from overlap.config import NetworkConfig, RunConfig, Stage
from overlap.features import Normalisation
from overlap.training.network import build_network, precision

BACKEND = keras.backend.backend()
pytestmark = pytest.mark.skipif(
    BACKEND not in ("jax", "tensorflow"), reason="the backend has no fused operation"
)
SHAPE, WORDS, CLIPS = (16, 18, 2), 5, 12
CONSTANTS = Normalisation((-70.0, -60.0), (-30.0, -30.0), (15.0, 15.0))
NETWORK = NetworkConfig(
    stages=(Stage(kind="plain", filters=4), Stage(kind="bottleneck", filters=8)),
    dense=8, dropout=0.0,
)  # fmt: skip
TRAINING = RunConfig(data="-", preset="baseline").training
ZERO = 1e-4
"""Norm of a gradient that consists of rounding; the others have norms above 0.1."""
Arrays = Mapping[str, NDArray[np.float64]]


def one_step(policy: str, *, fused: bool) -> Arrays:
    """Return scores, gradients and moving statistics of one training step, by name.

    The loss is a fixed weighted sum of the scores; the weights of the network are random, and not
    the initial ones, so that no gradient is zero by accident.
    """
    from overlap.training.engine.fused_network import FusedNetwork

    keras.utils.clear_session()  # the names of layers start again
    keras.utils.set_random_seed(4)
    with precision(policy):
        network = build_network(NETWORK, SHAPE, WORDS, CONSTANTS)
    random = np.random.default_rng(7)
    for variable in network.model.weights:
        noise = random.normal(0.0, 0.1, variable.shape)
        if variable.path.endswith("moving_variance"):
            noise = np.abs(noise)
        variable.assign(np.asarray(variable.value, np.float32) + noise)
    decibels = random.uniform(-80.0, 0.0, (CLIPS, *SHAPE)).astype(np.float16)
    weights = random.normal(size=(CLIPS, WORDS)).astype(np.float32)
    plain = keras.Model(network.model.input, network.scores.output)
    model = FusedNetwork(network) if fused else plain
    # The layers own the variables of both; their order is that of the plain model.
    trainable, others = plain.trainable_variables, plain.non_trainable_variables
    assert {id(v) for v in model.trainable_variables} == {id(v) for v in trainable}

    step = _with_jax if BACKEND == "jax" else _with_tensorflow
    scores, gradients, updated = step(model, decibels, weights, trainable, others)
    named = {f"gradient of {v.path}": g for v, g in zip(trainable, gradients, strict=True)}
    named |= {v.path: value for v, value in zip(others, updated, strict=True)}
    return {n: np.asarray(v, np.float64) for n, v in {"scores": scores, **named}.items()}


def _with_jax(model: Any, decibels: Any, weights: Any, trainable: Any, others: Any) -> Any:
    import jax

    def loss(values: list[Any], rest: list[Any]) -> tuple[Any, tuple[Any, list[Any]]]:
        mapping = [*zip(trainable, values, strict=True), *zip(others, rest, strict=True)]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            scores = model(decibels, training=True)
        updated = [scope.get_current_value(v) for v in others]
        return (scores * weights).sum(), (scores, updated)

    state = [v.value for v in trainable], [v.value for v in others]
    step = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (_, (scores, updated)), gradients = step(*state)
    return scores, gradients, updated


def _with_tensorflow(model: Any, decibels: Any, weights: Any, trainable: Any, others: Any) -> Any:
    import tensorflow as tf

    @tf.function
    def step() -> Any:
        with tf.GradientTape() as tape:
            scores = model(decibels, training=True)
            loss = tf.reduce_sum(scores * weights)
        return scores, tape.gradient(loss, [v.value for v in trainable])

    scores, gradients = step()
    return scores, gradients, [v.value for v in others]


def errors(found: Arrays, expected: Arrays) -> dict[str, float]:
    """Return the relative error of each array, in the 2-norm.

    Without the biases in front of a normalisation, which subtracts them again: their exact gradient
    is zero, and only rounding is left of it.
    """
    return {
        name: float(np.linalg.norm(found[name] - right) / np.linalg.norm(right))
        for name, right in expected.items()
        if np.linalg.norm(right) > ZERO
    }


@pytest.fixture(scope="module")
def exact() -> Arrays:
    """The step of Keras's layers in float32."""
    return one_step("float32", fused=False)


def test_in_float32_the_step_is_that_of_the_layers(exact: Arrays) -> None:
    found = one_step("float32", fused=True)
    for name, error in errors(found, exact).items():
        assert error < 2e-5, name
    for name in found.keys() - errors(found, exact).keys():
        assert name.endswith("/bias")
        assert np.linalg.norm(found[name]) < ZERO


@pytest.mark.skipif(BACKEND != "jax", reason="a processor trains in half precision without fusing")
@pytest.mark.parametrize("policy", ["bfloat16", "float16"])
def test_in_half_precision_the_step_is_as_exact_as_that_of_the_layers(
    exact: Arrays, policy: str
) -> None:
    """Both differ from float32 by rounding, which is random in each array.

    On average over the arrays the fused step is as exact as the layers or more so, because it
    rounds less often.
    """
    layers, fused = (errors(one_step(policy, fused=f), exact) for f in (False, True))
    ratios = {name: fused[name] / layers[name] for name in layers if layers[name]}
    assert len(ratios) > 30
    assert np.exp(np.mean(np.log([*ratios.values()]))) < 1.0, ratios
    assert max(ratios.values()) < 4.0, ratios


def test_the_variables_keep_their_order() -> None:
    """A checkpoint contains them by position, and may be older than the fused operation."""
    paths = []
    for fused in (False, True):
        keras.utils.clear_session()
        learner = untrained_learner(NETWORK, TRAINING, SHAPE, steps=2, fused=fused)
        paths.append([(v.path, tuple(v.shape)) for v in learner.state])
    assert paths[0] == paths[1]
    assert len({*paths[0]}) == len(paths[0]) > 60


@pytest.mark.skipif(BACKEND != "tensorflow", reason="JAX fuses in every precision")
@pytest.mark.parametrize(
    ("policy", "accelerator", "expected"),
    [("float32", False, True), ("bfloat16", False, False), ("float32", True, False)],
)
def test_tensorflow_fuses_float32_on_a_processor(
    policy: str, accelerator: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from overlap.training.engine import fused_network

    monkeypatch.setattr(fused_network, "on_accelerator", lambda: accelerator)
    with precision(policy):
        network = build_network(NETWORK, SHAPE, WORDS, CONSTANTS)
    assert fused_network.can_fuse(network) is expected
