"""Compiles the program that trains a network for a GPU that this machine does not have.

The compiler receives a description of the card. Nothing can run, so the libraries' algorithms are
their defaults: which of them is fastest is measured on a card only.
"""

import os
from dataclasses import dataclass
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any, Final, Literal

from overlap.bench.untrained_learner import WORDS, untrained_learner
from overlap.config import RunConfig
from overlap.errors import BenchError

OPTIONS: Final[dict[str, str | bool]] = {
    "xla_gpu_autotune_level": "0",
    "xla_gpu_enable_triton_gemm": False,
}
"""Options of the compiler: what would run kernels to choose between them is off."""


@dataclass(frozen=True)
class Case:
    """A training whose program is compiled."""

    preset: str
    precision: str
    batch_size: int
    clips: int
    """Clips of the resident set."""
    program: Literal["epoch", "fill"] = "epoch"
    """Training on the resident set, or copying a batch of clips into it."""


@dataclass(frozen=True)
class Program:
    """A function and what it is compiled for."""

    function: Any
    """Compiled by JAX when it is called."""
    arguments: tuple[Any, ...]
    """Shapes and types of the arguments, in the structure that the function takes."""
    steps: int
    """Training steps per call."""


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


def program_of(case: Case) -> Program:
    """Return the program of a case, as the training code defines it."""
    return _epoch(case) if case.program == "epoch" else _fill(case)


def _epoch(case: Case) -> Program:
    import jax

    from overlap.training.engine.resident import epoch_program, steps_per_call, train_variables

    config = _config(case)
    changed = {"precision": case.precision, "batch_size": case.batch_size}
    training, shape = config.training.model_copy(update=changed), config.features.shape
    steps = case.clips // case.batch_size
    model = untrained_learner(config.network, training, shape, steps=steps).model
    state = tuple(
        [_array(one.value.dtype, *one.value.shape) for one in variables]
        for variables in train_variables(model)
    )
    in_call = steps_per_call(steps)
    arguments = (
        state,
        _array("float16", case.clips, *shape),
        _array("float32", case.clips, WORDS),
        _array("int32", in_call, case.batch_size),
    )
    return Program(jax.jit(epoch_program(model), donate_argnums=0), arguments, in_call)


def _fill(case: Case) -> Program:
    from overlap.training.engine.resident import insert

    shape = _config(case).features.shape
    decibels, part = (_array("float16", n, *shape) for n in (case.clips, case.batch_size))
    return Program(insert, (decibels, part, _array("int32")), 1)


def _config(case: Case) -> RunConfig:
    return RunConfig(data="-", preset=case.preset)


def _array(dtype: Any, *shape: int) -> Any:  # noqa: ANN401  a type and a shape of JAX
    import jax

    return jax.ShapeDtypeStruct(shape, dtype)


def clip_numbers(case: Case) -> int:
    """Return how many numbers the features of a clip are."""
    return prod(_config(case).features.shape)


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
    compiled: Any = program.function.lower(*arguments).compile(compiler_options=OPTIONS)
    memory = compiled.memory_analysis()
    return Compiled(
        compiled.as_text(),
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes,
    )
