"""The part of the benchmark that measures the network's convolutions one by one."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from overlap.bench.accelerator import subject
from overlap.bench.accelerator.parts import seconds

PRECISIONS = {
    "float32": (jnp.float32, "highest"),
    "tf32": (jnp.float32, "default"),
    "bfloat16": (jnp.bfloat16, "default"),
}


def shapes() -> list[tuple[int, int, int, int, int]]:
    """Return (height, width, channels, filters, kernel size) of the network's convolutions."""
    height, width, channels = subject.preset().features.shape
    found = []
    for stage in subject.preset().network.stages:
        inner = stage.filters // 4
        for _ in range(3):
            steps = (
                [(stage.filters, 3)]
                if stage.kind == "plain"
                else [(inner, 1), (inner, 3), (stage.filters, 1)]
            )
            for filters, size in steps:
                found.append((height, width, channels, filters, size))
                channels = filters
        height, width = height // 2, width // 2
    return found


def convolutions(scale: float) -> Iterator[dict[str, Any]]:
    """Measure each different convolution, forward and both gradients at once.

    Groups of channels stand for members that are trained side by side.
    """
    different = list(dict.fromkeys(shapes()))
    for shape in different if scale >= subject.SMALL else different[-2:]:
        for batch, groups in ((64, 1), (256, 1), (64, 4)):
            for name in PRECISIONS if groups == 1 else ("bfloat16",):
                yield _measure(shape, max(2, int(batch * scale)), groups, name)


def _measure(
    shape: tuple[int, int, int, int, int], batch: int, groups: int, name: str
) -> dict[str, Any]:
    height, width, channels, filters, size = shape
    dtype, precision = PRECISIONS[name]
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (batch, height, width, channels * groups), dtype)
    kernel = jax.random.normal(keys[1], (size, size, channels, filters * groups), dtype)
    weight = jax.random.normal(keys[2], (batch, height, width, filters * groups), dtype)

    def forward(x: jax.Array, kernel: jax.Array) -> jax.Array:
        out: jax.Array = jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups, precision=precision,
        )  # fmt: skip
        return out

    def both(x: jax.Array, kernel: jax.Array, weight: jax.Array) -> Any:  # noqa: ANN401
        out, gradients = jax.vjp(forward, x, kernel)
        return out, gradients(weight)

    spent = seconds(partial(jax.jit(both), x, kernel, weight))
    operations = 3 * 2 * batch * groups * height * width * channels * filters * size**2
    moved = 2 * (2 * x.nbytes + 2 * weight.nbytes)  # forward reads x and writes; so do gradients
    return {
        "shape": list(shape),
        "batch": batch,
        "groups": groups,
        "precision": name,
        "microseconds": spent * 1e6,
        "tflops": operations / spent / 1e12,
        "gb_per_second": moved / spent / 1e9,
    }
