"""Words spoken by espeak-ng, as one folder per word: a data set where there is none.

espeak-ng comes with the extra `synth` (it is GPL-3, so never a base dependency). Its library
keeps one global state, so one process speaks one word at a time; at some 1,700 words a second
that is no loss.
"""

import ctypes
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from overlap.errors import UserError
from overlap.io.atomic import new_folder

DEFAULT_WORDS = (
    *("bed", "bird", "cat", "dog", "down", "eight", "five", "four", "go", "happy"),
    *("house", "left", "marvin", "nine", "no", "off", "on", "one", "right", "seven"),
    *("sheila", "six", "stop", "three", "tree", "two", "up", "wow", "yes", "zero"),
)
LANGUAGES = ("en-us", "en", "en-gb-x-rp", "en-gb-scotland")
NOT_HUMAN = ("robo", "robot", "whisper", "demonic", "croak", "tweaky", "fast", "announcer", "klatt")
"""Variants whose names hold one of these do not sound like a person."""
RATES_WPM = (130, 210)
PITCHES = (25, 75)
QUIET = 10 ** (-50 / 20)
"""Leading and trailing samples below this are cut away, full scale 1.0."""

_FOLDER_NAME = re.compile(r"\w[\w' -]*")
_SYNCHRONOUS, _UTF8 = 2, 1
_RATE, _PITCH = 1, 3
_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


@dataclass(frozen=True)
class SynthConfig:
    """What is spoken."""

    words: tuple[str, ...] = DEFAULT_WORDS
    voices: int = 60
    """Different speakers."""
    takes: int = 4
    """Recordings of each word by each speaker, at different pitch and rate."""
    seed: int = 0
    rate_hz: int = 16000

    def __post_init__(self) -> None:
        if not self.words:
            raise UserError("no words are given", code="no-words")
        wrong = [word for word in self.words if not _FOLDER_NAME.fullmatch(word)]
        if wrong:
            raise UserError(
                f"not a word that can name a folder: {', '.join(map(repr, wrong))}",
                code="word-unfit",
                words=wrong,
            )
        if len(set(self.words)) < len(self.words):
            raise UserError("a word is given more than once", code="word-repeated")


class Speaker:
    """espeak-ng, loaded once in a process.

    Args:
        seed: Seed of the noise in some voices.

    Raises:
        UserError: the extra `synth` is not installed.
    """

    def __init__(self, seed: int = 0) -> None:
        try:
            import espeakng_loader
        except ImportError:
            raise UserError(
                "espeak-ng is not installed; install the extra `synth` of overlap: "
                "pip install -e '.[synth]' in its folder"
            ) from None
        self._library: Any = ctypes.CDLL(espeakng_loader.get_library_path())
        self._data = Path(espeakng_loader.get_data_path())
        self._heard: list[NDArray[np.int16]] = []
        self._listen = _CALLBACK(self._on_samples)
        place = str(self._data).encode()
        self.rate_hz = int(self._library.espeak_Initialize(_SYNCHRONOUS, 0, place, 0))
        if self.rate_hz <= 0:
            raise UserError("espeak-ng does not start: its voices are missing; reinstall it")
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(seed))  # else the time of day
        self._library.espeak_SetSynthCallback(self._listen)

    def voices(self) -> list[str]:
        """Voices of people: every variant with one of the English accents, in a fixed order."""
        variants = sorted(
            item.name
            for item in (self._data / "voices" / "!v").iterdir()
            if not any(part in item.name.lower() for part in NOT_HUMAN) and " " not in item.name
        )
        return [f"{LANGUAGES[i % len(LANGUAGES)]}+{v}" for i, v in enumerate(variants)]

    def say(self, word: str, voice: str, rate_wpm: int, pitch: int) -> NDArray[np.float32]:
        """(samples,) float32 at `rate_hz`: one spoken word without silence around it.

        Args:
            word: The text.
            voice: One of `voices`.
            rate_wpm: Words per minute.
            pitch: 0 to 99; 50 is the voice's own.
        """
        if self._library.espeak_SetVoiceByName(voice.encode()):
            raise UserError(f"espeak-ng has no voice {voice}")
        self._library.espeak_SetParameter(_RATE, rate_wpm, 0)
        self._library.espeak_SetParameter(_PITCH, pitch, 0)
        self._heard.clear()
        text = word.encode()
        self._library.espeak_Synth(text, len(text) + 1, 0, 0, 0, _UTF8, None, None)
        self._library.espeak_Synchronize()
        heard = np.concatenate([np.zeros(0, np.int16), *self._heard])
        samples = heard.astype(np.float32) / np.float32(32768)
        loud = np.flatnonzero(np.abs(samples) > QUIET)
        return samples[loud[0] : loud[-1] + 1] if len(loud) else samples[:0]

    def _on_samples(self, samples: Any, count: int, _events: object) -> int:  # noqa: ANN401
        if samples and count > 0:
            self._heard.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0


def synthesise(
    out: Path,
    config: SynthConfig,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Sequence[str]:
    """Write `out/<word>/<voice>_nohash_<take>.wav`, 16-bit mono, at most one second.

    In a fresh process the same configuration gives the same bytes; espeak-ng carries noise
    from one word to the next, so a second call in one process does not.

    Args:
        out: Must not exist yet, or be empty.
        config: What is spoken.
        on_progress: Called with recordings written and recordings in all.

    Returns:
        The voices.

    Raises:
        UserError: espeak-ng is missing, has too few voices, or `out` holds something.
    """
    speaker = Speaker(config.seed)
    known = speaker.voices()
    random = np.random.default_rng(config.seed)
    if config.voices > len(known):
        raise UserError(f"espeak-ng has {len(known)} voices, not {config.voices}; lower --voices")
    voices = [known[index] for index in random.permutation(len(known))[: config.voices]]
    each = len(voices) * config.takes
    with new_folder(out) as folder:
        for number, word in enumerate(config.words, 1):
            (folder / word).mkdir()
            for voice in voices:
                for take in range(config.takes):
                    rate, pitch = random.integers(*RATES_WPM), random.integers(*PITCHES)
                    said = speaker.say(word, voice, int(rate), int(pitch))
                    if not len(said):
                        raise UserError(f"espeak-ng makes no sound for the word {word!r}")
                    samples = soxr.resample(said, speaker.rate_hz, config.rate_hz)
                    file = folder / word / f"{voice.replace('_', '-')}_nohash_{take}.wav"
                    soundfile.write(
                        file, samples[: config.rate_hz], config.rate_hz, subtype="PCM_16"
                    )
            on_progress(number * each, len(config.words) * each)
    return voices
