"""The command `python -m overlap.bench.gpu_budget`."""

import argparse
import sys
from pathlib import Path

from overlap.bench.gpu_budget.budget import busiest, count, read_budgets, rows, table
from overlap.bench.gpu_budget.program import clip_numbers, compile_for, prepare, program_of
from overlap.errors import BenchError

HERE = Path(__file__).parent


def main(arguments: list[str] | None = None) -> int:
    """Compile, count and compare; return 1 if a budget is exceeded."""
    parser = argparse.ArgumentParser(prog="overlap.bench.gpu_budget", description=__doc__)
    parser.add_argument("--budget", type=Path, default=HERE / "budget.toml", help="the budgets")
    parser.add_argument("--only", default="", help="programs whose names contain this text")
    parser.add_argument("--kernels", type=int, default=0, help="list this many busy kernels")
    parser.add_argument("--text", type=Path, help="folder for the texts of the compiled programs")
    chosen = parser.parse_args(arguments)
    try:
        prepare()
    except BenchError as error:
        print(f"{error} [{error.code}]", file=sys.stderr)
        return 2
    card, programs = read_budgets(chosen.budget)
    found = []
    for budgeted in programs:
        if chosen.only not in budgeted.name:
            continue
        program = program_of(budgeted.case)
        compiled = compile_for(chosen.budget.parent / card.target, program)
        if chosen.text:
            chosen.text.mkdir(parents=True, exist_ok=True)
            name = budgeted.name.replace(",", "").replace(" ", "-")
            (chosen.text / f"{name}.hlo").write_text(compiled.text, "utf-8")
        numbers = clip_numbers(budgeted.case)
        figures, launched = count(compiled, budgeted.case, program.steps, numbers, card)
        found += rows(budgeted, figures)
        if chosen.kernels:
            print(budgeted.name)
            print(busiest(launched, program.steps * budgeted.case.batch_size, chosen.kernels))
    print(f"{card.name}: {card.bytes_per_second / 1e12:.1f} TB/s, "
          f"{card.seconds_per_kernel * 1e6:.0f} us per kernel\n\n{table(found)}")  # fmt: skip
    exceeded = [row for row in found if row.exceeded]
    if exceeded:
        print(f"\n{len(exceeded)} of {len(found)} figures exceed their budget", file=sys.stderr)
    return 1 if exceeded else 0


if __name__ == "__main__":
    sys.exit(main())
