"""Small sound files for tests of label formats."""

from pathlib import Path

import numpy as np
import soundfile

RATE = 16000


def write_tone(file: Path, hertz: float, seconds: float = 1.0, rate: int = RATE) -> Path:
    """Write a tone, and create its folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(seconds * rate)) / rate
    soundfile.write(file, 0.3 * np.sin(2 * np.pi * hertz * time), rate)
    return file
