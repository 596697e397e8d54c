"""Encodes plots: PNG for files and Prefect's artifacts, SVG and data URLs for pages."""

import base64
import io
import re
import warnings
from typing import TYPE_CHECKING

from overlap.reporting.plots.style import plain_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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


@plain_style()
def svg(figure: "Figure", name: str) -> str:
    """Render a figure as SVG for inclusion in a page, whose text colour it takes.

    Args:
        figure: The figure.
        name: Prefix of the identifiers in the SVG; unique on the page.
    """
    import matplotlib as mpl

    target = io.StringIO()
    # A browser finds a font for every script.
    warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from font", UserWarning)
    # Text stays text: it is smaller, searchable, and uses the font of the page.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(target, format="svg", transparent=True, metadata={"Date": None})
    drawn = target.getvalue()
    drawn = drawn[drawn.index("<svg") :].replace("#000000", "currentColor")
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", drawn)
    return drawn.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)
