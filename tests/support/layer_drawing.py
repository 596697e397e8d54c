"""The drawing of the layers in docs/architecture.md, generated from the data of the layer test.

`make reference` calls this module as a program.
"""

import runpy
from collections.abc import Iterable, Sequence
from typing import Final

from docs.site.generated_blocks import filled
from support.markdown_blocks import ROOT

DOCUMENT: Final = ROOT / "docs" / "architecture.md"
BLOCK: Final = "layers"
LAYER_TEST: Final = ROOT / "tests" / "unit" / "test_layers_of_code.py"


def drawn(layers: Iterable[Sequence[str]]) -> str:
    """Return the layers as a fenced drawing, the highest layer first.

    Args:
        layers: The packages of each layer, the lowest layer first.

    Examples:
        >>> print(drawn([("a.errors",), ("a.io", "a.system")]))
        ```text
        ┌──────────────────┐
        │ a.io    a.system │
        ├──────────────────┤
        │ a.errors         │
        └──────────────────┘
        ```
    """
    rows = ["    ".join(layer) for layer in layers][::-1]
    width = max(map(len, rows))
    line = "─" * (width + 2)
    boxes = f"\n├{line}┤\n".join(f"│ {row:<{width}} │" for row in rows)
    return f"```text\n┌{line}┐\n{boxes}\n└{line}┘\n```"


def current(layers: Iterable[Sequence[str]]) -> str:
    """Return the text that docs/architecture.md must have."""
    return filled(DOCUMENT.read_text("utf-8"), BLOCK, drawn(layers))


if __name__ == "__main__":
    DOCUMENT.write_text(current(runpy.run_path(str(LAYER_TEST))["LAYERS"]), "utf-8")
