"""Synthesises recordings of single words with espeak-ng, in one folder per word.

espeak-ng is part of the extra `synth`: its licence is GPL-3, so it is never a base dependency. Its
library has one global state, so a process synthesises one word at a time, at about 1,700 words per
second.
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
from overlap.io.formatting import counted
from overlap.system.distribution import extra_hint

DEFAULT_WORDS = (
    *("bed", "bird", "cat", "dog", "down", "eight", "five", "four", "go", "happy"),
    *("house", "left", "marvin", "nine", "no", "off", "on", "one", "right", "seven"),
    *("sheila", "six", "stop", "three", "tree", "two", "up", "wow", "yes", "zero"),
)
LANGUAGES = ("en-us", "en", "en-gb-x-rp", "en-gb-scotland")
NOT_HUMAN = ("robo", "robot", "whisper", "demonic", "croak", "tweaky", "fast", "announcer", "klatt")
"""Variants whose names contain one of these do not sound human."""
RATES_WPM = (130, 210)
PITCHES = (25, 75)
QUIET = 10 ** (-50 / 20)
"""Leading and trailing samples below this amplitude are removed; full scale is 1.0."""

_FOLDER_NAME = re.compile(r"\w[\w' -]*")
_SYNCHRONOUS, _UTF8 = 2, 1
_RATE, _PITCH = 1, 3
_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


@dataclass(frozen=True)
class SynthConfig:
    """Parameters of the synthesis."""

    words: tuple[str, ...] = DEFAULT_WORDS
    voices: int = 60
    """Number of different voices."""
    takes: int = 4
    """Recordings of each word by each voice, with different pitch and rate."""
    seed: int = 0
    rate_hz: int = 16000

    def __post_init__(self) -> None:
        if not self.words:
            raise UserError("the list of words is empty", code="no-words")
        wrong = [word for word in self.words if not _FOLDER_NAME.fullmatch(word)]
        if wrong:
            raise UserError(
                f"words that cannot be folder names: {', '.join(map(repr, wrong))}",
                code="word-unfit",
                words=tuple(wrong),
            )
        if len(set(self.words)) < len(self.words):
            raise UserError("a word is listed more than once", code="word-repeated")


class EspeakSynthesiser:
    """The library espeak-ng; create one instance per process.

    Args:
        seed: Seed of the noise in some voices.

    Raises:
        UserError: the extra `synth` is not installed (`espeak-not-installed`), or espeak-ng does
            not start (`espeak-not-working`).

    Attributes:
        rate_hz: Sampling rate of the synthesised speech.
    """

    def __init__(self, seed: int = 0) -> None:
        try:
            import espeakng_loader
        except ImportError:
            raise UserError(
                f"espeak-ng is not installed; it is an extra of overlap: {extra_hint('synth')}",
                code="espeak-not-installed",
            ) from None
        self._library: Any = ctypes.CDLL(espeakng_loader.get_library_path())
        self._data = Path(espeakng_loader.get_data_path())
        self._received: list[NDArray[np.int16]] = []
        self._callback = _CALLBACK(self._on_samples)
        place = str(self._data).encode()
        self.rate_hz = int(self._library.espeak_Initialize(_SYNCHRONOUS, 0, place, 0))
        if self.rate_hz <= 0:
            raise UserError(
                "espeak-ng does not start because its voices are missing; reinstall it",
                code="espeak-not-working",
            )
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(seed))  # the default is the time
        self._library.espeak_SetSynthCallback(self._callback)

    def voices(self) -> list[str]:
        """Return the human voices: each variant with an English accent, in a fixed order."""
        variants = sorted(
            item.name
            for item in (self._data / "voices" / "!v").iterdir()
            if not any(part in item.name.lower() for part in NOT_HUMAN) and " " not in item.name
        )
        return [f"{LANGUAGES[i % len(LANGUAGES)]}+{v}" for i, v in enumerate(variants)]

    def speak(self, word: str, voice: str, rate_wpm: int, pitch: int) -> NDArray[np.float32]:
        """Synthesise one word: (samples,) float32 at `rate_hz`, without surrounding silence.

        Args:
            word: The text.
            voice: One of `voices`.
            rate_wpm: Words per minute.
            pitch: 0 to 99; 50 is the default of the voice.

        Raises:
            UserError: there is no such voice (`no-such-voice`).
        """
        if self._library.espeak_SetVoiceByName(voice.encode()):
            raise UserError(f"espeak-ng has no voice {voice}", code="no-such-voice", voice=voice)
        self._library.espeak_SetParameter(_RATE, rate_wpm, 0)
        self._library.espeak_SetParameter(_PITCH, pitch, 0)
        self._received.clear()
        text = word.encode()
        self._library.espeak_Synth(text, len(text) + 1, 0, 0, 0, _UTF8, None, None)
        self._library.espeak_Synchronize()
        codes = np.concatenate([np.zeros(0, np.int16), *self._received])
        samples = codes.astype(np.float32) / np.float32(32768)
        loud = np.flatnonzero(np.abs(samples) > QUIET)
        return samples[loud[0] : loud[-1] + 1] if len(loud) else samples[:0]

    def _on_samples(self, samples: Any, count: int, _events: object) -> int:  # noqa: ANN401
        if samples and count > 0:
            self._received.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0


def synthesise(
    out: Path,
    config: SynthConfig,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Sequence[str]:
    """Write `out/<word>/<voice>_nohash_<take>.wav`, 16-bit mono, at most one second.

    The same configuration gives the same bytes in a new process. A second call in the same process
    does not, since the state of espeak-ng carries over from one word to the next.

    Args:
        out: Folder of the recordings; it must be empty or not exist.
        config: Parameters of the synthesis.
        on_progress: Called with the number of written recordings and of all recordings.

    Returns:
        The voices.

    Raises:
        UserError: espeak-ng is not installed (`espeak-not-installed`), has too few voices
            (`too-few-voices`) or cannot speak a word (`word-without-sound`), or `out` is not empty.
    """
    synthesiser = EspeakSynthesiser(config.seed)
    known = synthesiser.voices()
    random = np.random.default_rng(config.seed)
    if config.voices > len(known):
        raise UserError(
            f"espeak-ng has {counted(len(known), 'voice')}, fewer than {config.voices}; "
            "lower --voices",
            code="too-few-voices",
            voices=len(known),
        )
    voices = [known[index] for index in random.permutation(len(known))[: config.voices]]
    each = len(voices) * config.takes
    with new_folder(out) as folder:
        for number, word in enumerate(config.words, 1):
            (folder / word).mkdir()
            for voice in voices:
                for take in range(config.takes):
                    rate, pitch = random.integers(*RATES_WPM), random.integers(*PITCHES)
                    speech = synthesiser.speak(word, voice, int(rate), int(pitch))
                    if not len(speech):
                        raise UserError(
                            f"espeak-ng produces no sound for the word {word!r}",
                            code="word-without-sound",
                            word=word,
                        )
                    samples = soxr.resample(speech, synthesiser.rate_hz, config.rate_hz)
                    file = folder / word / f"{voice.replace('_', '-')}_nohash_{take}.wav"
                    soundfile.write(
                        file, samples[: config.rate_hz], config.rate_hz, subtype="PCM_16"
                    )
            on_progress(number * each, len(config.words) * each)
    return voices
