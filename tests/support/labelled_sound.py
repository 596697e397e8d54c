"""Small sound files and labelled folders in other formats, for tests of imports."""

import csv
import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
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


def write_tones(folder: Path, names: Iterable[str], seconds: float = 0.1) -> Path:
    """Write a different short tone into each file of a folder; return the folder."""
    for number, name in enumerate(names, 1):
        write_tone(folder / name, 100 + 10 * number, seconds)
    return folder


def write_csv(file: Path, rows: Sequence[Sequence[object]], delimiter: str = ",") -> Path:
    """Write rows, the first of which is the header."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return file


def write_json_lines(file: Path, objects: Iterable[Mapping[str, object]]) -> Path:
    """Write an object per line, packed with gzip if the name ends in .gz."""
    file.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(one) + "\n" for one in objects).encode()
    file.write_bytes(gzip.compress(text) if file.suffix == ".gz" else text)
    return file
