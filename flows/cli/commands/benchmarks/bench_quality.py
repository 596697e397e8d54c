"""The command `bench quality`, which compares training recipes by their held-out KL."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.commands.benchmarks.bench import bench
from flows.cli.options import Assignments, Json, whole_numbers

if TYPE_CHECKING:
    from overlap.bench.quality.comparison import SetComparison


def register(_app: typer.Typer) -> None:
    """Add the command of this module to the group `bench`."""
    bench.command("quality")(bench_quality)


def bench_quality(  # noqa: PLR0913  one parameter per option
    folder: Annotated[
        Path, typer.Argument(help="Folder of data sets and finished trainings; is continued.")
    ],
    *,
    speech: Annotated[
        Path | None,
        typer.Option(
            help="Folder with one subfolder of recordings per word, such as Speech Commands.",
            show_default="only the set synthetic",
        ),
    ] = None,
    sets: Annotated[
        str,
        typer.Option(
            help="Data sets, separated by commas: words9, words2, words6, synthetic, sealed."
        ),
    ] = "words9,words2,words6,synthetic",
    recipes: Annotated[
        str, typer.Option(help="Recipes, separated by commas; all: every one that is listed.")
    ] = "all",
    passes: Annotated[
        str,
        typer.Option(
            help="Passes of the reference over the training clips, separated by commas; a recipe "
            "whose pass is cheaper makes more."
        ),
    ] = "12",
    reference_passes: Annotated[
        str,
        typer.Option(
            help="Further passes of the reference, for its KL at other times.", show_default="none"
        ),
    ] = "",
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Members per recipe.")] = 3,
    members: Annotated[
        str,
        typer.Option(
            help="Numbers of members, separated by commas, whose ensembles are compared by their "
            "cost; at most --seeds.",
            show_default="none",
        ),
    ] = "",
    clips: Annotated[int, typer.Option(min=32, help="Training clips of a set.")] = 2240,
    scored_clips: Annotated[int, typer.Option(min=20, help="Clips that are scored.")] = 1000,
    width: Annotated[float, typer.Option(min=0.01, max=16, help="Width of the network.")] = 0.25,
    settings: Assignments = None,
    sealed: Annotated[
        bool,
        typer.Option(
            "--sealed/--no-sealed",
            help="Allow the set sealed; only for a recipe that is committed.",
        ),
    ] = False,
    train: Annotated[
        bool,
        typer.Option("--train/--no-train", help="Train what is missing before the table."),
    ] = True,
    as_json: Json = False,
) -> None:
    """Compare training recipes: KL on new voices at equal time, with paired intervals.

    Every recipe trains with several seeds on each data set and is scored on clips of voices that
    no training heard. Without an accelerator, several train at once. A repeated command trains only
    what is missing.
    """
    from flows.cli.console import ERR, print_json
    from overlap.bench.quality.comparison import compare
    from overlap.bench.quality.recipes import chosen_recipes
    from overlap.bench.quality.run import Plan, jobs_of, train_missing
    from overlap.bench.quality.sets import SetSize, chosen_kinds, make_set
    from overlap.training.backends.choice import check_backend

    kinds = chosen_kinds(sets, sealed=sealed)
    plan = Plan(
        chosen_recipes(recipes), numbers("--passes", passes),
        numbers("--reference-passes", reference_passes) if reference_passes else (), seeds, width,
        tuple(settings or ()),
    )  # fmt: skip
    sizes = ensemble_sizes(members, seeds)
    check_backend()
    root = folder.absolute()
    made = [make_set(root, kind, SetSize(clips, scored_clips), speech) for kind in kinds]
    jobs = jobs_of(plan, root, made)
    trained = {job.name for job in jobs if job.finished()}

    def follow(job: Any, event: Any) -> None:  # noqa: ANN401  imported above
        if event.get("event") == "epoch" and event["epoch"] == event["epochs"]:
            trained.add(job.name)
            ERR.print(
                f"{len(trained)}/{len(jobs)} {job.data_set} {job.recipe}, {job.passes} passes, "
                f"seed {job.seed}: {event['seconds']:.0f} s",
                soft_wrap=True,
            )

    if train:
        train_missing(jobs, follow)
    compared = [compare(one, jobs, sizes) for one in made]
    if as_json:
        about = {"seeds": seeds, "clips": clips, "width": width, "recipes": _recipes(plan)}
        print_json(about | {"sets": [asdict(one) for one in compared]})
        return
    for one in compared:
        _print(one)


def _recipes(plan: Any) -> dict[str, Any]:  # noqa: ANN401  imported in the command
    return {
        recipe.name: {
            "settings": plan.settings_of(recipe),
            "prediction": recipe.prediction,
        }
        for recipe in plan.recipes
    }


def _print(compared: "SetComparison") -> None:
    from flows.cli.console import OUT, print_table
    from overlap.metrics.bootstrap import describe_units

    print_table(
        f"{compared.data_set}: {compared.clips:,} clips of new voices; trivial prediction "
        f"{compared.trivial_kl:.3f}; intervals resample {describe_units(compared.groups)}",
        (
            "recipe", "passes", "members", "CPU h each", "KL of a member", "of the ensemble",
            "member - reference at equal time", "ensemble - reference",
        ),
        [
            (
                row.recipe, str(row.passes),
                f"{row.seeds}" + (f", {row.diverged} diverged" if row.diverged else ""),
                f"{row.cpu_hours:.4f}", _text(row.member), _text(row.ensemble),
                _text(row.member_difference, signed=True) + ("" if row.within else " *"),
                _text(row.ensemble_difference, signed=True) + ("" if row.within else " *"),
            )
            for row in compared.rows
        ],
    )  # fmt: skip
    if compared.costs:
        _print_costs(compared)
    if not all(row.within for row in compared.rows):
        OUT.print(
            "* compared with the reference's nearest time; --reference-passes adds others",
            soft_wrap=True,
        )


def _print_costs(compared: "SetComparison") -> None:
    from flows.cli.console import print_table

    print_table(
        f"{compared.data_set}: KL by the processor time of an ensemble's trainings",
        ("recipe", "passes", "members", "CPU h", "KL", "mean of"),
        [
            (
                point.recipe, str(point.passes), str(point.members), f"{point.cpu_hours:.3f}",
                _text(point.kl), f"{point.ensembles}",
            )
            for point in compared.costs
        ],
    )  # fmt: skip


def _text(means: tuple[float, float, float] | None, *, signed: bool = False) -> str:
    """Return a mean with its interval.

    Examples:
        >>> _text((0.5, 0.4, 0.625)), _text((-0.25, -0.5, 0.125), signed=True)
        ('0.500 (0.400 to 0.625)', '-0.250 (-0.500 to +0.125)')
    """
    if means is None:
        return ""
    mean, low, high = (f"{value:{'+' if signed else ''}.3f}" for value in means)
    return f"{mean} ({low} to {high})"


def numbers(option: str, text: str) -> tuple[int, ...]:
    """Return the numbers of passes of an option.

    Raises:
        UserError: It is not a list of positive numbers (code `invalid-passes`).

    Examples:
        >>> numbers("--passes", "6, 12")
        (6, 12)
    """
    return whole_numbers(option, text, 10_000, code="invalid-passes", option=option)


def ensemble_sizes(text: str, seeds: int) -> tuple[int, ...]:
    """Return the numbers of members of an option.

    Raises:
        UserError: It is not a list of numbers from 1 to the number of seeds (code
            `invalid-members`).

    Examples:
        >>> ensemble_sizes("1,5", 15), ensemble_sizes("", 3)
        ((1, 5), ())
    """
    option = "--members"
    if not text:
        return ()
    return whole_numbers(option, text, seeds, code="invalid-members", option=option)
