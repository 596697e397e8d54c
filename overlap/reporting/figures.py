"""Figures of a run: the members' training curves, and the KL as members are added.

`png` renders a figure for Prefect's artifacts; the report renders the same figures as SVG.
"""

import base64
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import numpy as np

from overlap.ensemble.registry import EnsembleRecord
from overlap.system.foreign_settings import import_matplotlib
from overlap.training.spec import MemberRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INCHES: Final = (7.2, 3.6)
DOTS_PER_INCH: Final = 110
MEMBER, ENSEMBLE, TRIVIAL = "#8a8f98", "#0072b2", "#d55e00"
"""Grey, blue and vermilion of Okabe and Ito, distinguishable with colour blindness."""


@contextmanager
def plain_style() -> Iterator[None]:
    """Draw in Matplotlib's own style within the block, whatever files named matplotlibrc say.

    Matplotlib reads the first that it finds, in the current folder, then in the user's. Such a file
    may draw text with TeX, and Matplotlib cannot be imported if its encoding is wrong.
    """
    import_matplotlib()
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        yield


@plain_style()
def draw_training(members: Sequence[MemberRecord]) -> "Figure":
    """Draw the held-out KL per epoch of each member, or the loss without held-out clips."""
    figure, axes = drawing(counted=True)
    key, curves = learning_curves(members)
    for member, values in zip(members, curves, strict=True):
        axes.plot(np.arange(1, len(values) + 1), values, color=MEMBER, linewidth=1, alpha=0.8)
        kept = member.kept_epoch or len(values)
        axes.plot(kept, values[kept - 1], "o", color=ENSEMBLE, markersize=4)
    axes.set_xlabel("epoch (dot: selected epoch)")
    axes.set_ylabel("held-out KL, nats" if key == "held_out_kl" else "training loss")
    return figure


@plain_style()
def draw_growth(record: EnsembleRecord) -> "Figure | None":
    """Draw the KL of the growing ensemble, of each member, and of the trivial prediction.

    Returns:
        The figure; None without held-out clips.
    """
    if not record.curve or record.trivial_kl is None:
        return None
    figure, axes = drawing(counted=True)
    sizes = np.array([point.members * record.per_round for point in record.curve])
    score = np.array([point.kl for point in record.curve])
    bounds = np.array([[point.low, point.high] for point in record.curve]).T
    single = [kl for kl in record.member_kl if kl is not None]
    axes.plot([1] * len(single), single, "o", color=MEMBER, markersize=4, label="one member")
    axes.errorbar(
        sizes, score, np.abs(bounds - score), color=ENSEMBLE, marker="o", markersize=5, capsize=3,
        label="ensemble, 95 % interval over clips",
    )  # fmt: skip
    if record.law and record.more:
        rounds = np.linspace(1, record.curve[-1].members + record.more.members, 100)
        expected = [record.law(n) for n in rounds]
        axes.plot(rounds * record.per_round, expected, ":", color=ENSEMBLE, label="fitted law")
    label = "trivial prediction"
    axes.axhline(record.trivial_kl, color=TRIVIAL, linestyle="--", linewidth=1.5, label=label)
    axes.set_xlabel("members")
    axes.set_ylabel("held-out KL, nats")
    axes.legend(frameon=False, fontsize=8)
    return figure


def learning_curves(members: Sequence[MemberRecord]) -> tuple[str, list[list[float]]]:
    """Return the plotted metric, `held_out_kl` or `loss`, and its values per member and epoch."""
    key = "held_out_kl" if all("held_out_kl" in m.history[-1] for m in members) else "loss"
    return key, [[epoch.get(key, np.nan) for epoch in member.history] for member in members]


def drawing(
    inches: tuple[float, float] = INCHES, *, counted: bool = False
) -> "tuple[Figure, Axes]":
    """Create an empty figure in the common style.

    Args:
        inches: Width and height.
        counted: Whether the horizontal axis shows integers, such as epochs or members.
    """
    # Figure without pyplot has no global state and no window, and is safe in a flow's threads.
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=inches, dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    if counted:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure, axes


@plain_style()
def png(figure: "Figure") -> bytes:
    """Render a figure as PNG."""
    target = io.BytesIO()
    figure.savefig(target, format="png", metadata={"Software": None})
    return target.getvalue()


def data_address(kind: str, content: bytes) -> str:
    """Encode a file as a data URL, for a page that loads nothing from other hosts.

    Args:
        kind: Media type, such as image/png.
        content: Content of the file.
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
