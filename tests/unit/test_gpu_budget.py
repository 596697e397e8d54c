"""Counts of compiled programs: kernels, bytes, copies of the resident set; and their budgets."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from overlap.bench.gpu_budget.budget import (
    FIGURES,
    Card,
    Row,
    busiest,
    count,
    read_budgets,
    rows,
    table,
)
from overlap.bench.gpu_budget.hlo import Array, parse
from overlap.bench.gpu_budget.kernels import Kernel, kernels
from overlap.bench.gpu_budget.program import Case, Compiled, prepare
from overlap.errors import BenchError
from support.gpu_programs import BATCH, CLIPS, ROOT, STEPS, text

BUDGETS = ROOT / "overlap" / "bench" / "gpu_budget" / "budget.toml"
CLIP = 16 * 10 * 4
CARD = Card("a card", "card.txtpb", bytes_per_second=1e12, seconds_per_kernel=2e-6)
TAKEN = BATCH * CLIP * 2
WIDE = BATCH * CLIP * 4
PRODUCT = WIDE + 4 * 32 * 4 + 8 * WIDE
"""Bytes of a product: the batch, the weights and the result, in either direction."""
STEP = {
    # rows of the resident set, their numbers, the loop's counter, and the batch as float32
    "loop_convert_fusion": TAKEN + BATCH * 4 + 4 + WIDE,
    "loop_add_fusion": 8,
    "custom-call.2": PRODUCT,
    "custom-call.3": PRODUCT,
    "wrapped_subtract": 3 * 4 * 32 * 4,
}
"""Bytes of the kernels of a step."""


def launched(name: str) -> list[Kernel]:
    return kernels(parse(text(name)), trips=STEPS)


def copies(name: str) -> list[str]:
    return [k.name for k in launched(name) for a in k.written if a.count >= CLIPS * CLIP]


@pytest.mark.parametrize("name", ["epoch", "part"])
def test_every_kernel_of_a_loop_is_counted_with_its_steps(name: str) -> None:
    found = launched(name)
    assert {k.name: k.bytes for k in found if k.times == STEPS and k.bytes > 9} == {
        kernel: size for kernel, size in STEP.items() if size > 9
    }
    assert [k.name for k in found if k.times == 1] == ["copy.9"]
    # Where the compiler does not know the number of steps, the device compares the counter.
    condition = {"epoch": set(), "part": {"wrapped_compare"}}[name]
    assert {k.name for k in found} - {"copy.9"} == set(STEP) | condition


def test_working_space_of_a_library_is_no_traffic() -> None:
    space = {k.name: k.workspace for k in launched("epoch") if k.workspace}
    assert space == {"custom-call.2": 2**25, "custom-call.3": 2**25}


def test_a_loop_of_unknown_length_inside_another_one_is_refused() -> None:
    with pytest.raises(ValueError, match="inside another one"):
        launched("nested")


def test_of_two_branches_the_one_that_moves_more_is_counted() -> None:
    assert {k.name for k in launched("branch")} >= {"custom-call.2", "custom-call.3"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("epoch", []),
        ("part", []),
        ("branch", []),
        ("passed_donated", []),
        ("passed", ["copy.1"]),
        ("converted", ["wrapped_convert"]),
        ("fill_donated", []),
        ("fill", ["copy.2"]),
    ],
)
def test_copies_of_the_resident_set_are_found(name: str, expected: list[str]) -> None:
    assert copies(name) == expected


def test_a_change_in_place_counts_with_its_size() -> None:
    (fill,) = launched("fill_donated")
    assert (fill.bytes, fill.written) == (2 * 50 * CLIP * 2 + 4, ())


def test_arrays_have_the_size_of_their_type() -> None:
    types = {"pred": 30, "bf16": 60, "f32": 120, "f8e4m3fn": 30, "s4": 15, "c64": 240}
    assert {name: Array(name, (5, 6)).bytes for name in types} == types
    assert (Array("f32", ()).bytes, Array("token", ()).bytes) == (4, 0)


@pytest.mark.parametrize(
    "wrong", ["", "HloModule empty\n", "ENTRY %main () -> f32[] {\n  what\n}\n"]
)
def test_a_text_that_is_no_program_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="compiled program"):
        parse(wrong)


def test_the_figures_of_a_program() -> None:
    case = Case("fast", "float32", BATCH, CLIPS)
    figures, found = count(Compiled(text("epoch"), 3_000_000), case, STEPS, CLIP, CARD)
    # Copying the counter, counting and updating the weights take the shortest time of a kernel.
    seconds = 2e-6 + STEPS * (2e-6 + 2e-6 + 2e-6 + 2 * 2e-6)
    assert figures == {
        "kernels": 5 + 1 / STEPS,
        "megabytes": pytest.approx((STEPS * sum(STEP.values()) + 8) / STEPS / BATCH / 1e6),
        "clips_per_second": pytest.approx(STEPS * BATCH / seconds),
        "wide_arrays": 2,  # the batch as float32, and the first product
        "resident_copies": 0,
        "device_gigabytes": 0.003,
        "workspace_megabytes": pytest.approx(2 * 2**25 / BATCH / 1e6),
    }
    slow = Card("a card", "card.txtpb", bytes_per_second=1e9, seconds_per_kernel=0)
    figures, _ = count(Compiled(text("epoch"), 0), case, STEPS, CLIP, slow)
    assert figures["clips_per_second"] == pytest.approx(1e3 / figures["megabytes"])
    assert busiest(found, STEPS * BATCH, 1).split()[-2:] == ["custom-call.2", "f32[10240,32]"]


def test_a_figure_beyond_its_limit_is_reported() -> None:
    _, (one, *_) = read_budgets(BUDGETS)
    keys = [figure.key for figure in FIGURES]
    limits = dict.fromkeys(keys, 10.0)

    def exceeded(value: float) -> list[str]:
        figures = dict.fromkeys(keys, value)
        budgeted = type(one)("a program", one.case, limits)
        return [row.figure.key for row in rows(budgeted, figures) if row.exceeded]

    assert exceeded(10.0) == []
    assert exceeded(9.9) == ["clips_per_second"]
    assert exceeded(10.1) == [key for key in keys if key != "clips_per_second"]
    lines = table([Row("a program", FIGURES[0], 11, 10), Row("a program", FIGURES[0], 9, 10)])
    assert lines.splitlines()[1].split()[-4:] == ["11", "<=", "10", "EXCEEDED"]
    assert lines.splitlines()[2].split()[-3:] == ["9", "<=", "10"]


def test_a_limit_of_an_unknown_figure_is_refused(tmp_path: Path) -> None:
    changed = BUDGETS.read_text().replace("clips_per_second = ", "clips_a_second = ")
    (tmp_path / "budget.toml").write_text(changed)
    with pytest.raises(ValueError, match="clips_a_second"):
        read_budgets(tmp_path / "budget.toml")


def test_the_budgets_are_of_presets_and_of_a_described_card() -> None:
    card, programs = read_budgets(BUDGETS)
    assert "memory_bandwidth" in (BUDGETS.parent / card.target).read_text()
    limits = {(p.case.program, p.case.precision, p.case.batch_size): p.limits for p in programs}
    every = {figure.key for figure in FIGURES}
    assert set(limits["epoch", "float32", 64]) == set(limits["epoch", "bfloat16", 256]) == every
    assert all(p.limits["resident_copies"] == 0 for p in programs)
    assert limits["epoch", "bfloat16", 256]["wide_arrays"] == 0
    # The resident set is held once while it is filled.
    size = 100_000 * 64 * 101 * 4 * 2 / 1e9
    assert limits["fill", "float32", 512]["device_gigabytes"] < 1.01 * size


def test_the_compiler_of_the_budgets_has_one_version() -> None:
    locked = (ROOT / "requirements-gpu-budget.lock").read_text()
    versions = dict(line.split(" ")[0].split("==") for line in locked.splitlines() if "==" in line)
    assert "://" not in locked
    jax = {versions[name] for name in ("jax", "jaxlib", "jax-cuda12-plugin", "jax-cuda12-pjrt")}
    assert len(jax) == 1
    assert f"\njax=={jax.pop()} " in (ROOT / "requirements.lock").read_text()


@pytest.mark.skipif(find_spec("jax_plugins") is not None, reason="the compiler is installed")
def test_without_the_compiler_a_message_names_the_command() -> None:
    with pytest.raises(BenchError) as raised:
        prepare()
    assert raised.value.code == "no-gpu-compiler"


TRACE = """
import jax
from overlap.bench.gpu_budget.program import Case, program_of
for kind in ("epoch", "fill"):
    program = program_of(Case("demo", "bfloat16", 4, 16, kind))
    shapes = jax.eval_shape(program.function, *program.arguments)
    print(program.steps, len(jax.tree.leaves(program.arguments)), len(jax.tree.leaves(shapes)))
"""


@pytest.mark.nightly
def test_the_program_is_that_of_the_training_code() -> None:
    env = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", TRACE],
        env=env, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    epoch, fill = (tuple(map(int, line.split())) for line in done.stdout.splitlines())
    steps, arguments, results = epoch
    # The state is returned; the arguments also contain decibels, labels and rows.
    assert (steps, results) == (4, arguments - 3)
    assert fill == (1, 3, 1)
