"""The recipes that are compared: changes of the reference, each with the effect that was predicted.

A prediction is written before the recipe is measured, and never changed afterwards. Recipes that
failed stay in the table.
"""

import json
from dataclasses import dataclass
from typing import Final

from overlap.config import RunConfig
from overlap.config.loading import configure
from overlap.errors import UserError

COMMON: Final = (
    "preset=fast",
    "training.batch_size=32",  # a pass over so small a set would have few steps otherwise
    "training.keep=last",  # no epoch is chosen on the clips that judge it
    "validation.holdout=0",  # the set has its own clips for the score
)
"""Settings of every recipe."""


@dataclass(frozen=True)
class Recipe:
    """A training that is compared with the reference."""

    name: str
    prediction: str
    """The predicted difference of the KL from the reference at equal time, as a clause."""
    settings: tuple[str, ...] = ()
    """Changes, such as `network.dropout=0`, after `COMMON`."""
    passes_factor: float = 1.0
    """Passes that the recipe makes in the time of one pass of the reference, about."""

    def passes(self, reference: int) -> int:
        """Return the passes of the schedule that takes the time of so many of the reference."""
        return max(1, round(reference * self.passes_factor))


def _stages(*filters: int) -> str:
    """Return the first stages of the reference's kinds with these filters, as JSON."""
    kinds = ("plain", "plain", "plain", "bottleneck", "bottleneck")
    stages = zip(kinds, filters, strict=False)
    return json.dumps([{"kind": kind, "filters": count} for kind, count in stages])


_POOL: Final = "network.input_pool=[2,2]"
_WIDE: Final = (_POOL, f"network.stages={_stages(64, 128, 256, 512, 1024)}")
REFERENCE: Final = "fast"
RECIPES: Final = (
    Recipe(REFERENCE, "the reference"),
    Recipe(
        "baseline", "0.10 higher: a dropout of 0.5 and a constant rate need many more passes",
        ("preset=baseline", "training.batch_size=16"),
        0.85,
    ),
    Recipe(
        "statistics",
        "0.02 lower where passes are short: moving statistics of 0.99 lag behind 200 steps",
        ("training.tail_epochs=1",),  # the average of one end is that end; statistics are renewed
    ),
    Recipe(
        "tail",
        "0.01 lower than statistics: a mean of the last two ends, where the rate is already low",
        ("training.tail_epochs=2",),
    ),
    Recipe(
        "constant-tail", "0.02 higher: a constant rate needs more passes to settle",
        ("training.schedule=constant", "training.learning_rate=0.002", "training.tail_epochs=3"),
    ),
    Recipe(
        "gain", "no difference: the clips were mixed with random gains already",
        ("training.augment.gain_db=6",),
    ),
    Recipe(
        "filter", "0.01 lower: new voices differ in their spectrum",
        ("training.augment.filter_db=4",),
    ),
    Recipe(
        "quiet-mix", "0.01 higher in so few passes; mixing at equal levels cost 0.05",
        ("training.augment.mix=0.5", "training.augment.mix_weight=0.9"),
    ),
    Recipe(
        "clip", "no difference: batch normalisation and AdamW already limit a step",
        ("training.clip_norm=1",),
    ),
    Recipe(
        "lion", "0.02 higher: a rate that nobody has tuned",
        ("training.optimizer=lion", "training.learning_rate=0.0006", "training.weight_decay=0.06"),
    ),
    Recipe(
        "batch-16", "0.03 lower at equal passes, 0.01 lower at equal time: more and smaller steps",
        ("training.batch_size=16",), 0.85,
    ),
    Recipe("dropout-0", "0.02 lower for a member in so few passes", ("network.dropout=0",)),
    # Cheaper passes, and more of them. What regularises is compared in the longer schedules, too.
    Recipe(
        "narrow-early", "no difference: the narrow first stage saves 9 % of the time",
        (f"network.stages={_stages(16, 48, 128, 256, 512)}",), 1.1,
    ),
    Recipe(
        "pool-mel", "0.02 lower: nearly twice the passes, but neighbouring formants merge",
        ("network.input_pool=[2,1]",), 1.9,
    ),
    Recipe(
        "pool-frames", "0.05 lower: nearly twice the passes, and 20 ms resolve most sounds",
        ("network.input_pool=[1,2]",), 1.85,
    ),
    Recipe("pool", "0.07 lower: three times the passes outweigh the resolution", (_POOL,), 3),
    Recipe(
        "pool-wide", "0.09 lower: the demo's network gained more from width than from resolution",
        _WIDE, 1.75,
    ),
    Recipe(
        "pool-4x4", "0.08 lower: as pool-wide, with four stages of the demo's width",
        ("network.input_pool=[4,4]", f"network.stages={_stages(96, 192, 384, 768)}"), 6.5,
    ),
    # pool and pool-4x4 overfitted 800 clips in 36 and 78 passes, so these regularise.
    Recipe(
        "wide-dropout", "0.04 lower than pool-wide: 21 passes overfit with a dropout of 0.05",
        (*_WIDE, "network.dropout=0.2"), 1.75,
    ),
    Recipe(
        "wide-filter", "0.02 lower than pool-wide: more passes need more variety",
        (*_WIDE, "training.augment.filter_db=6", "training.augment.gain_db=6"), 1.75,
    ),
    Recipe(
        "wide-mix", "0.03 lower than pool-wide: every pass has other mixtures",
        (*_WIDE, "training.augment.mix=0.5", "training.augment.mix_weight=0.7"), 1.75,
    ),
    Recipe(
        "wide-masks", "0.02 lower than pool-wide: masks cost 0.04 in 12 passes only",
        (*_WIDE, "training.augment.masks=1"), 1.75,
    ),
    Recipe(
        "wide-warp", "0.01 lower than pool-wide: people speak at many speeds",
        (*_WIDE, "training.augment.warp=0.2"), 1.75,
    ),
    Recipe(
        "wide-all", "0.06 lower than pool-wide: dropout, filters and mixing together",
        (
            *_WIDE, "network.dropout=0.15", "training.augment.filter_db=6",
            "training.augment.gain_db=6", "training.augment.mix=0.5",
            "training.augment.mix_weight=0.7",
        ),
        1.75,
    ),
)  # fmt: skip
"""The recipes in the order in which the table shows them, the reference first."""


def chosen_recipes(names: str) -> tuple[Recipe, ...]:
    """Return the recipes of a list of names, with the reference first.

    Args:
        names: Names separated by commas, or `all`.

    Raises:
        UserError: A name is unknown (code `unknown-recipe`).
    """
    known = {recipe.name: recipe for recipe in RECIPES}
    wanted = [*known] if names == "all" else [name.strip() for name in names.split(",")]
    for name in wanted:
        if name not in known:
            raise UserError(
                f"--recipes {name}: no such recipe; choose from all, {', '.join(known)}",
                code="unknown-recipe", recipe=name,
            )  # fmt: skip
    return tuple(known[name] for name in dict.fromkeys((REFERENCE, *wanted)))


def configuration(
    settings: tuple[str, ...], *, data: str, workspace: str, width: float, passes: int, seeds: int
) -> RunConfig:
    """Return the configuration of a recipe's trainings.

    Args:
        settings: The recipe's changes.
        data: Folder of the data set.
        workspace: Workspace with its features.
        width: Width of the network.
        passes: Passes over the training clips.
        seeds: Number of seeds.
    """
    sizes = (f"network.width={width}", f"training.epochs={passes}", f"ensemble.members={seeds}")
    flags = {"data": data, "workspace": workspace}
    return configure(flags, assignments=(*COMMON, *sizes, *settings))
