"""The data set of the demo, spoken by espeak-ng; small, but enough for visible learning."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from overlap.synthetic.mixed_data import mix
from overlap.synthetic.speakers import MixConfig
from overlap.synthetic.speech import SynthConfig, synthesise

WORDS = SynthConfig(
    words=("down", "eight", "five", "go", "left", "one", "right", "up", "yes", "zero"),
    voices=50,
    takes=4,
)
CLIPS = MixConfig(train=2000, test=400, words_per_clip=3, seed=1)

Bar = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
"""Opens a progress bar by name."""


def make_data(folder: Path, bar: Bar) -> Path:
    """Generate the data set of the demo unless it exists.

    Returns:
        The folder of the data set.

    Raises:
        UserError: espeak-ng is not installed.
    """
    words, data = folder / "words", folder / "data"
    if not data.exists():
        if not words.exists():
            with bar("speaking") as on_progress:
                synthesise(words, WORDS, on_progress)
        with bar("mixing clips") as on_progress:
            mix(words, data, CLIPS, on_progress)
    return data
