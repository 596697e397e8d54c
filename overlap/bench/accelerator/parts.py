"""The parts of the benchmark that train or only compute; each returns JSON values."""

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from overlap.bench.accelerator import subject
from overlap.bench.accelerator.subject import Variant
from overlap.training.engine.resident import (
    STEPS_PER_CALL,
    ResidentSet,
    epoch_program,
)
from overlap.training.keras_import import keras

SECONDS = 1.5
"""Length of one measurement."""


def seconds(call: Callable[[], Any], repeats: int = 5) -> float:
    """Return the median seconds of a call, after one that is not counted."""
    jax.block_until_ready(call())
    measured = []
    for _ in range(repeats):
        started = time.perf_counter()
        jax.block_until_ready(call())
        measured.append(time.perf_counter() - started)
    return float(np.median(measured))


def card(scale: float) -> dict[str, Any]:
    """Measure the copy bandwidth and the matrix rates of the device."""
    size = int(2**31 * scale) // 4
    source = jax.random.normal(jax.random.key(0), (size,), jnp.float32)
    copy = jax.jit(lambda x: x + 1)
    result: dict[str, Any] = {"device": subject.device()}
    result["copy_gb_per_second"] = 2 * 4 * size / seconds(lambda: copy(source)) / 1e9
    n = max(256, int(8192 * scale))
    for name, dtype, how in (
        ("float32", jnp.float32, "highest"),
        ("tf32", jnp.float32, "default"),
        ("bfloat16", jnp.bfloat16, "default"),
    ):
        a = jax.random.normal(jax.random.key(1), (n, n), dtype)
        product = jax.jit(partial(jnp.matmul, precision=how))
        result[f"{name}_tflops"] = 2 * n**3 / seconds(partial(product, a, a)) / 1e12
    return result


def correctness(scale: float) -> list[dict[str, Any]]:
    """Train 20 steps on the device and on the CPU, and compare the losses."""
    batch, steps = max(8, int(64 * scale)), 20
    decibels, labels = subject.clips(batch * steps)
    rows = np.arange(batch * steps, dtype=np.int32).reshape(steps, batch)
    reference: list[float] = []
    results = []
    cpu = jax.devices("cpu")[0]
    for place, name, fused, matrix in (
        (cpu, "float32", False, "highest"),
        (None, "float32", False, "highest"),
        (None, "float32", True, "highest"),
        (None, "float32", True, "default"),
        (None, "bfloat16", True, "default"),
    ):
        learner = subject.learner(Variant(name, batch, fused, scale), steps=steps)
        with (
            jax.default_device(place),
            jax.default_matmul_precision(None if matrix == "default" else matrix),
        ):
            losses = _losses(learner.model, decibels, labels, rows, place)
        reference = reference or losses
        results.append(
            {
                "device": "CPU" if place else subject.device(),
                "precision": name,
                "matrix_precision": matrix,
                "fused": fused,
                "first_loss": losses[0],
                "last_loss": losses[-1],
                "largest_difference": float(np.max(np.abs(np.subtract(losses, reference)))),
            }
        )
    return results


def _losses(
    model: keras.Model,
    decibels: NDArray[np.float16],
    labels: NDArray[np.float32],
    rows: NDArray[np.int32],
    place: jax.Device | None,
) -> list[float]:
    """Return the loss of every step."""
    step = jax.jit(model.train_step, donate_argnums=0)
    state = jax.device_put(subject.state(model), place)
    losses = []
    for part in rows:
        batch = ({"decibels": decibels[part], "labels": labels[part]},)
        zero = [jnp.zeros_like(value) for value in state[3]]
        logs, state = step((*state[:3], zero), jax.device_put(batch, place))
        losses.append(float(logs["loss"]))
    return losses


def epochs(scale: float, variants: Sequence[Variant]) -> Iterator[dict[str, Any]]:
    """Measure whole epochs on the device, variant by variant."""
    count = max(64, int(16384 * scale))
    data = subject.resident(count)
    for variant in variants:
        program = Program(variant, data, count)
        speeds: list[float] = []
        started = time.perf_counter()
        while len(speeds) < 3 or (time.perf_counter() - started < SECONDS and len(speeds) < 50):
            speeds.append(program.clips / program.run())
        yield {
            "variant": variant.name,
            "clips_per_second": float(np.median(speeds)),
            "compile_seconds": program.compile_seconds,
            "temporary_mb": program.temporary_mb,
            "loss": program.loss,
        }


class Program:
    """The compiled epoch of a variant with its state.

    Args:
        variant: The variant; its batch is at most half of the clips.
        data: The resident set.
        count: Its clips.
        most: Steps per call, at most.
    """

    def __init__(
        self, variant: Variant, data: ResidentSet, count: int, most: int = STEPS_PER_CALL
    ) -> None:
        size = min(variant.batch_size, count // 2)
        self.steps = min(count // size, most)
        self.clips = self.steps * size
        model = subject.learner(variant).model
        order = np.random.default_rng(0).permutation(count)[: self.clips].astype(np.int32)
        self._rest = data.decibels, data.labels, jnp.asarray(order.reshape(self.steps, size))
        self._state = subject.state(model)
        started = time.perf_counter()
        compiling = jax.jit(epoch_program(model), donate_argnums=0)
        self.compiled = compiling.lower(self._state, *self._rest).compile()
        self.compile_seconds = time.perf_counter() - started
        memory = self.compiled.memory_analysis()
        self.temporary_mb = memory.temp_size_in_bytes / 1e6 if memory else None
        self.run()

    def run(self) -> float:
        """Train the steps, and return their seconds."""
        started = time.perf_counter()
        self._state = jax.block_until_ready(self.compiled(self._state, *self._rest))
        return time.perf_counter() - started

    @property
    def loss(self) -> float:
        """Mean loss of all steps so far, nats."""
        total, count = self._state[3][:2]
        return float(total / count)


def fit(scale: float, variant: Variant) -> dict[str, Any]:
    """Measure Keras's own `fit` on arrays in the memory of the host, with the layers of Keras."""
    count = max(64, int(8192 * scale))
    size = min(variant.batch_size, count // 2)
    decibels, labels = subject.clips(count)
    model = subject.learner(variant).model
    inputs = {"decibels": decibels, "labels": labels}
    speeds = []
    for _ in range(3):
        started = time.perf_counter()
        model.fit(inputs, batch_size=size, epochs=1, verbose=0)
        speeds.append(count / (time.perf_counter() - started))
    return {"variant": variant.name, "clips_per_second": float(np.median(speeds[1:]))}


def profile(scale: float, variant: Variant) -> dict[str, Any]:
    """Profile some steps of a variant, and sum the time of its kernels by name."""
    count = max(64, int(8192 * scale))
    program = Program(variant, subject.resident(count), count, most=20)
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            seconds_of_steps = program.run()
        calls, spans = _kernels(Path(folder))
    return {
        "variant": variant.name,
        "milliseconds_per_step": 1e3 * seconds_of_steps / program.steps,
        "busy_milliseconds_per_step": sum(spans.values()) / 1e6 / program.steps,
        "kernels_per_step": sum(calls.values()) / program.steps,
        "kernels": [
            {
                "name": name,
                "calls_per_step": calls[name] / program.steps,
                "microseconds_per_step": nanoseconds / 1e3 / program.steps,
            }
            for name, nanoseconds in sorted(spans.items(), key=lambda one: -one[1])[:60]
        ],
        "program": program.compiled.as_text(),
    }


def _kernels(folder: Path) -> tuple[Counter[str], Counter[str]]:
    """Return calls and nanoseconds of the device's kernels by name."""
    calls: Counter[str] = Counter()
    spans: Counter[str] = Counter()
    for file in folder.rglob("*.xplane.pb"):
        for plane in jax.profiler.ProfileData.from_file(str(file)).planes:
            if "GPU" not in plane.name and "gpu" not in plane.name:
                continue
            for line in plane.lines:
                if not line.name.startswith("Stream"):
                    continue
                for event in line.events:
                    calls[event.name] += 1
                    spans[event.name] += event.duration_ns
    return calls, spans
