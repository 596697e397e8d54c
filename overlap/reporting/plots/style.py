"""The common style of all plots: sizes, colours and empty figures."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from overlap.system.foreign_settings import import_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INCHES: Final = (7.2, 3.6)
WIDE: Final = (11.0, 4.0)
"""Width and height of a chart of the report: as wide as its page, whose text has the same size."""
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


def drawing(
    inches: tuple[float, float] = INCHES, *, counted: bool = False
) -> "tuple[Figure, Axes]":
    """Create an empty figure in the common style.

    Args:
        inches: Width and height.
        counted: Whether the horizontal axis shows integers, such as epochs or members.
    """
    figure, (axes,) = panelled(1, inches, counted=counted)
    return figure, axes


def panelled(
    panels: int, inches: tuple[float, float], *, counted: bool = False
) -> "tuple[Figure, list[Axes]]":
    """Create an empty figure with panels side by side; see `drawing`."""
    # Figure without pyplot has no global state and no window, and is safe in a flow's threads.
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=inches, dpi=DOTS_PER_INCH, layout="constrained")
    created = [figure.add_subplot(1, panels, number) for number in range(1, panels + 1)]
    for axes in created:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.3)
        if counted:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure, created
