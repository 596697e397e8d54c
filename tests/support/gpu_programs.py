"""Small programs compiled for a GPU, whose kernels and bytes tests count.

The compiler for GPUs is not part of the tests' environment. As a program this module writes the
texts of the compiled programs again:

    PYTHONPATH=tests:. .venv-gpu-budget/bin/python -m support.gpu_programs
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / "tests" / "fixtures" / "gpu_programs"
Array = Any  # of JAX
CLIPS, BATCH, STEPS = 1000, 64, 20
"""Size of the resident set, (clips, 16, 10, 4) float16, and of the (steps, batch) rows."""


def text(name: str) -> str:
    """Return the text of a compiled program."""
    return (FOLDER / f"{name}.hlo").read_text("utf-8")


def step(weights: Array, batch: Array) -> Array:
    """Return the weights after a step of gradient descent."""
    import jax

    gradient = jax.grad(lambda w: ((batch @ w) ** 2).mean())(weights)
    return weights - 0.1 * gradient


def take(data: Array, rows: Array) -> Array:
    """Return rows as float32."""
    return data.at[rows].get(mode="promise_in_bounds").astype("float32")


def programs() -> dict[str, tuple[Callable[..., Any], tuple[Any, ...], tuple[int, ...]]]:
    """Return functions of JAX by name, with the types of their arguments and what is donated."""
    import jax
    import jax.numpy as jnp

    def epoch(w: Array, data: Array, rows: Array) -> Array:
        return jax.lax.scan(lambda w, r: (step(w, take(data, r)), None), w, rows)[0]

    def part(w: Array, data: Array, rows: Array, start: int, stop: int) -> Array:
        return jax.lax.fori_loop(start, stop, lambda i, w: step(w, take(data, rows[i])), w)

    def nested(w: Array, data: Array, rows: Array, stop: int) -> Array:
        return jax.lax.fori_loop(0, stop, lambda i, w: part(w, data, rows, 0, i), w)

    def branch(w: Array, data: Array, rows: Array) -> Array:
        return jax.lax.cond(
            rows[0, 0] > 5, lambda: step(w, take(data, rows[0])), lambda: jnp.zeros_like(w)
        )

    def passed(state: tuple[Array, Array], rows: Array) -> tuple[Array, Array]:
        return step(state[0], take(state[1], rows[0])), state[1]

    def converted(w: Array, data: Array, rows: Array) -> Array:
        wide = data.astype(jnp.float32)
        return jax.lax.scan(lambda w, r: (step(w, wide[r]), None), w, rows)[0]

    def fill(data: Array, clips: Array, at: int) -> Array:
        return jax.lax.dynamic_update_slice(data, clips, (at, 0, 0, 0))

    def array(dtype: str, *shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype)

    weights, data = array("float32", 4, 32), array("float16", CLIPS, 16, 10, 4)
    rows, number = array("int32", STEPS, BATCH), array("int32")
    clips = array("float16", 50, 16, 10, 4)
    return {
        "epoch": (epoch, (weights, data, rows), (0,)),
        "part": (part, (weights, data, rows, number, number), (0,)),
        "nested": (nested, (weights, data, rows, number), (0,)),
        "branch": (branch, (weights, data, rows), ()),
        "passed": (passed, ((weights, data), rows), ()),
        "passed_donated": (passed, ((weights, data), rows), (0,)),
        "converted": (converted, (weights, data, rows), (0,)),
        "fill": (fill, (data, clips, number), ()),
        "fill_donated": (fill, (data, clips, number), (0,)),
    }


def main() -> None:
    """Compile the programs and write their texts without notes about the source."""
    from overlap.bench.gpu_budget.program import Program, compile_for, prepare

    prepare()
    import jax

    card = ROOT / "overlap" / "bench" / "gpu_budget" / "h200.txtpb"
    for name, (function, arguments, donated) in programs().items():
        compiled = compile_for(
            card, Program(jax.jit(function, donate_argnums=donated), arguments, STEPS)
        )
        body = compiled.text[re.search(r"(?m)^(%|ENTRY)", compiled.text).start() :]
        for note in ("metadata", "frontend_attributes", "sharding"):
            body = re.sub(rf", {note}=\{{(?:[^{{}}]|\{{[^{{}}]*\}})*\}}", "", body)
        (FOLDER / f"{name}.hlo").write_text(body, "utf-8")


if __name__ == "__main__":
    main()
