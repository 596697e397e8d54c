"""Compiles the program that trains a network for a GPU that this machine does not have.

The compiler receives a description of the card. Nothing can run, so the libraries' algorithms are
their defaults: which of them is fastest is measured on a card only.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any, Final

from overlap.errors import BenchError

OPTIONS: Final[dict[str, str | bool]] = {
    "xla_gpu_autotune_level": "0",
    "xla_gpu_enable_triton_gemm": False,
}
"""Options of the compiler: what would run kernels to choose between them is off."""
WORDS, WORDS_PER_CLIP = 30, 4
"""Size of the task."""


@dataclass(frozen=True)
class Case:
    """A training whose program is compiled."""

    preset: str
    precision: str
    batch_size: int
    clips: int
    """Clips of the resident set."""
    steps: int = 256
    """Steps per call of the program."""


@dataclass(frozen=True)
class Program:
    """A function and what it is compiled for."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    """Shapes and types of the arguments, in the structure that the function takes."""
    steps: int
    """Training steps per call."""
    donated: tuple[int, ...] = (0,)
    """Positions of the arguments whose memory the results may take."""


@dataclass(frozen=True)
class Compiled:
    """A compiled program."""

    text: str
    device_bytes: int
    """Memory of the device for arguments, results and intermediate arrays."""


def prepare() -> None:
    """Select JAX for Keras; call it before anything imports Keras.

    Raises:
        BenchError: The compiler for GPUs is not installed (code `no-gpu-compiler`).
    """
    if find_spec("jax_plugins") is None or find_spec("jax_plugins.xla_cuda12") is None:
        raise BenchError(
            "jax-cuda12-plugin is not installed; `make gpu-budget` creates an environment that "
            "contains it",
            code="no-gpu-compiler",
        )
    os.environ.update(KERAS_BACKEND="jax", JAX_PLATFORMS="cpu", TF_CPP_MIN_LOG_LEVEL="3")


def training_program(case: Case) -> Program:
    """Return the program that trains the network of a preset."""
    import jax
    import keras

    from overlap.config import RunConfig
    from overlap.features import Normalisation
    from overlap.training.learner import build_learner
    from overlap.training.network import build_network, precision

    config = RunConfig(data="-", preset=case.preset)
    changed = {"precision": case.precision, "batch_size": case.batch_size}
    training, shape = config.training.model_copy(update=changed), config.features.shape
    many = shape[-1]
    constants = Normalisation((-80.0,) * many, (-40.0,) * many, (15.0,) * many)
    subset = None if config.network.head == "softmax" else WORDS_PER_CLIP
    keras.utils.set_random_seed(0)
    with precision(case.precision):
        network = build_network(config.network, shape, WORDS, constants, subset)
        learner = build_learner(
            network, training, constants,
            subset=subset, steps=case.clips // case.batch_size, seed=0,
        )  # fmt: skip
    model = learner.model
    state = tuple(
        [jax.ShapeDtypeStruct(one.value.shape, one.value.dtype) for one in variables]
        for variables in (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )
    )
    batch = {
        "decibels": jax.ShapeDtypeStruct((case.batch_size, *shape), "float16"),
        "labels": jax.ShapeDtypeStruct((case.batch_size, WORDS), "float32"),
    }
    return Program(model.train_step, (state, (batch,)), steps=1)


def clip_numbers(case: Case) -> int:
    """Return how many numbers the features of a clip are."""
    from overlap.config import RunConfig

    return prod(RunConfig(data="-", preset=case.preset).features.shape)


def compile_for(card: Path, program: Program) -> Compiled:
    """Compile a program for a card.

    Args:
        card: The card's description: XLA's `GpuTargetConfigProto` as text.
        program: The program.
    """
    import jax
    from jax.experimental import topologies
    from jax.sharding import SingleDeviceSharding

    topology = topologies.get_topology_desc(
        card.stem, "cuda", target_config=card.read_text("utf-8"), topology="1x1x1"
    )
    there = SingleDeviceSharding(topology.devices[0])
    arguments = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=there), program.arguments
    )
    lowered = jax.jit(program.function, donate_argnums=program.donated).lower(*arguments)
    compiled: Any = lowered.compile(compiler_options=OPTIONS)
    memory = compiled.memory_analysis()
    return Compiled(
        compiled.as_text(),
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes,
    )
