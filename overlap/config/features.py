"""Configuration of the features: what they are, how they are stored, what is checked."""

import math
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import Field, model_validator

from overlap.config.base import Address, Section


class Resolution(Section):
    """One spectrogram of a clip."""

    n_fft: int = Field(
        ge=16, le=65536, multiple_of=2, description="Length of the Fourier transform, samples."
    )
    win_length: int = Field(ge=1, description="Length of the periodic Hann window, samples.")

    @model_validator(mode="after")
    def _window_fits(self) -> Self:
        if self.win_length > self.n_fft:
            raise ValueError(f"win_length {self.win_length} is longer than n_fft {self.n_fft}")
        return self

    @property
    def samples_before_centre(self) -> int:
        """Samples of the window before the sample on which its frame is centred."""
        return self.n_fft // 2 - (self.n_fft - self.win_length) // 2


@dataclass(frozen=True)
class AudioFormat:
    """The clip that the features need."""

    rate_hz: int
    """Sampling rate, Hz."""
    samples: int
    """Length, samples."""


class FeatureConfig(Section):
    """The features of a clip: one log-mel spectrogram per resolution, in decibels."""

    rate_hz: int = Field(16000, ge=1000, le=384000, description="Sampling rate, Hz.")
    clip_seconds: float = Field(1.0, gt=0, le=60, description="Length of every clip, seconds.")
    hop: int = Field(160, ge=1, description="Samples from one frame to the next.")
    mels: int = Field(64, ge=1, le=1024, description="Mel bands per spectrogram (Slaney).")
    fmin_hz: float = Field(0.0, ge=0, description="Lower edge of the lowest mel band, Hz.")
    fmax_hz: float | None = Field(
        None, gt=0, description="Upper edge of the highest mel band, Hz; none: half the rate."
    )
    resolutions: tuple[Resolution, ...] = Field(
        (
            Resolution(n_fft=256, win_length=200),
            Resolution(n_fft=512, win_length=400),
            Resolution(n_fft=1024, win_length=800),
            Resolution(n_fft=2048, win_length=1600),
        ),
        min_length=1,
        max_length=16,
        description="The spectrograms, in the order in which they are stored.",
    )

    @model_validator(mode="after")
    def _band_fits(self) -> Self:
        top = self.rate_hz / 2 if self.fmax_hz is None else self.fmax_hz
        if top > self.rate_hz / 2:
            raise ValueError(f"fmax_hz {top} is above half the rate ({self.rate_hz / 2})")
        if self.fmin_hz >= top:
            raise ValueError(f"fmin_hz {self.fmin_hz} is not below the upper edge {top}")
        return self

    @property
    def clip_samples(self) -> int:
        """Samples per clip."""
        return round(self.rate_hz * self.clip_seconds)

    @property
    def clip_format(self) -> AudioFormat:
        """The clips that the features are made of."""
        return AudioFormat(self.rate_hz, self.clip_samples)

    @property
    def frames(self) -> int:
        """Frames per clip: centred framing gives one per started hop, and one more."""
        return 1 + self.clip_samples // self.hop

    @property
    def shape(self) -> tuple[int, int, int]:
        """(mel, frame, resolution) of one clip's features."""
        return self.mels, self.frames, len(self.resolutions)

    @property
    def clip_bytes(self) -> int:
        """Bytes of one clip's features, float16 and uncompressed."""
        return 2 * math.prod(self.shape)

    def difference(self, wanted: "FeatureConfig") -> str:
        """The fields in which another configuration differs, with both values."""
        names = [n for n in type(self).model_fields if getattr(self, n) != getattr(wanted, n)]
        return ", ".join(
            f"{n} {getattr(self, n)!r} there, {getattr(wanted, n)!r} asked" for n in names
        )


class StoreConfig(Section):
    """How the feature store is cut and written; none of it changes a value."""

    chunk_clips: int = Field(128, ge=1, le=65536, description="Clips per Zarr chunk.")
    block_clips: int = Field(
        512, ge=1, description="Clips per Dask task; a whole number of chunks."
    )
    compression: Literal["none", "lz4", "zstd"] = Field(
        "none", description="Codec of the feature chunks; decibels hardly compress."
    )

    @model_validator(mode="after")
    def _whole_chunks(self) -> Self:
        if self.block_clips % self.chunk_clips:
            raise ValueError(
                f"block_clips {self.block_clips} is not a whole number of chunks "
                f"of {self.chunk_clips} clips: two workers would write one chunk"
            )
        return self


class ChecksConfig(Section):
    """What is checked of the data; none of it changes a value."""

    max_bad_fraction: float = Field(
        0.01, ge=0, le=1, description="Largest fraction of clips that may be quarantined."
    )
    compare_with: Address | None = Field(
        None,
        description="Workspace, or features.zarr, of another data set: how far the decibels are "
        "from its are reported with the features; none: only test from train.",
    )
