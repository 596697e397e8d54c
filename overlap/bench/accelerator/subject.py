"""What the parts measure: the network of preset fast on synthetic clips, with JAX.

At scale 1 everything has its real size. Below, there are fewer clips, and below 0.1 the network has
two narrow stages, so that the benchmark itself can be tested on a processor.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from overlap.bench.untrained_learner import random_labels, untrained_learner
from overlap.config import NetworkConfig, RunConfig, TrainingConfig
from overlap.training.engine.resident import ResidentSet, train_variables
from overlap.training.keras_import import keras
from overlap.training.learner import Learner

SMALL = 0.1
"""Scale below which the network is small."""


@dataclass(frozen=True)
class Variant:
    """A way to train the network."""

    precision: str
    batch_size: int
    fused: bool
    scale: float = 1.0

    @property
    def name(self) -> str:
        """The variant in words."""
        return f"{self.precision}, batch {self.batch_size}, {'fused' if self.fused else 'Keras'}"

    @property
    def network(self) -> NetworkConfig:
        """The network of preset fast, or a small one."""
        whole = preset().network
        if self.scale >= SMALL:
            return whole
        return whole.model_copy(update={"stages": whole.stages[:2], "width": 0.25})

    @property
    def training(self) -> TrainingConfig:
        """The training of preset fast with this precision and batch size."""
        changed = {"precision": self.precision, "batch_size": self.batch_size}
        return preset().training.model_copy(update=changed)


@cache
def preset() -> RunConfig:
    """Return the configuration of preset fast."""
    return RunConfig(data="-", preset="fast")


def learner(variant: Variant, *, steps: int = 400, seed: int = 0) -> Learner:
    """Build a learner of the full network; equal seeds give equal weights."""
    return untrained_learner(
        variant.network, variant.training, preset().features.shape,
        steps=steps, seed=seed, fused=variant.fused,
    )  # fmt: skip


def clips(count: int, seed: int = 0) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    """Return (clips, mel, frame, resolution) decibels and (clips, words) labels, random."""
    random = np.random.default_rng(seed)
    shape = preset().features.shape
    decibels = random.standard_normal((count, *shape), np.float32) * 15 - 40
    return decibels.astype(np.float16), labels(count, seed)


def labels(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Return (clips, words) labels, each with the same number of words."""
    return random_labels(np.random.default_rng(seed), count).astype(np.float32)


def resident(count: int) -> ResidentSet:
    """Return a resident set of random clips, of which up to 2,048 differ."""
    made = min(count, 2048)
    decibels, _ = clips(made)
    parts = (decibels[: min(made, count - start)] for start in range(0, count, made))
    return ResidentSet(np.arange(count), labels(count), decibels.shape[1:], parts)


def state(model: keras.Model) -> tuple[list[Any], ...]:
    """Return copies of the variables that a train step takes; donating them spares the model's."""
    return tuple(
        [jnp.array(variable.value, copy=True) for variable in variables]
        for variables in train_variables(model)
    )


def device() -> str:
    """Return the name of the device."""
    return str(jax.devices()[0].device_kind)
