"""Configuration of the features, of their store, and of the checks of the data."""

import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from overlap.config.base import Address, ConfigModel, LaterField
from overlap.config.old_spellings import stored_section

LabelTableFormat = Literal["auto", "distribution", "multi-hot", "long", "one-label"]
"""How `train_answer.csv` is read."""


class Resolution(ConfigModel):
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
    """The format of the clips that features are computed from."""

    sample_rate: int
    """Sampling rate, Hz."""
    samples: int
    """Length, samples."""


class FeatureConfig(ConfigModel):
    """The features of a clip: one log-mel spectrogram per resolution, in decibels.

    The JSON form (`model_dump(mode="json")`), on which records, stores and fingerprints depend, has
    the keys of the first release: `rate_hz`, `hop` and `mels`.
    """

    section: ClassVar[str] = "features"

    sample_rate: int = Field(16000, ge=1000, le=384000, description="Sampling rate, Hz.")
    clip_seconds: float = Field(1.0, gt=0, le=60, description="Length of every clip, seconds.")
    hop_length: int = Field(160, ge=1, description="Samples from one frame to the next.")
    n_mels: int = Field(64, ge=1, le=1024, description="Mel bands per spectrogram (Slaney).")
    fmin_hz: float = Field(0.0, ge=0, description="Lower edge of the lowest mel band, Hz.")
    fmax_hz: float | None = Field(
        None,
        gt=0,
        description="Upper edge of the highest mel band, Hz; none: half the sampling rate.",
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

    @model_serializer(mode="wrap")
    def _stored_keys(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        return stored_section(self.section, values) if info.mode == "json" else values

    @model_validator(mode="after")
    def _band_fits(self) -> Self:
        top = self.sample_rate / 2 if self.fmax_hz is None else self.fmax_hz
        if top > self.sample_rate / 2:
            raise ValueError(f"fmax_hz {top} is above half of sample_rate ({self.sample_rate})")
        if self.fmin_hz >= top:
            raise ValueError(f"fmin_hz {self.fmin_hz} is not below the upper edge {top}")
        return self

    @property
    def clip_samples(self) -> int:
        """Number of samples per clip."""
        return round(self.sample_rate * self.clip_seconds)

    @property
    def clip_format(self) -> AudioFormat:
        """The format of the clips that the features are computed from."""
        return AudioFormat(self.sample_rate, self.clip_samples)

    @property
    def frames(self) -> int:
        """Number of frames per clip: with centred framing, one per whole hop and one more."""
        return 1 + self.clip_samples // self.hop_length

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (mel, frame, resolution) of one clip's features."""
        return self.n_mels, self.frames, len(self.resolutions)

    @property
    def clip_bytes(self) -> int:
        """Bytes of one clip's features, float16 and uncompressed."""
        return 2 * math.prod(self.shape)

    def difference(self, wanted: "FeatureConfig") -> str:
        """Name the fields in which another configuration differs, with both values."""
        names = [n for n in type(self).model_fields if getattr(self, n) != getattr(wanted, n)]
        return ", ".join(
            f"{n} {getattr(self, n)!r} stored, {getattr(wanted, n)!r} requested" for n in names
        )


class StoreConfig(ConfigModel):
    """Layout of the feature store; no setting here changes a stored value."""

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
                f"of {self.chunk_clips} clips; two workers would write the same chunk"
            )
        return self


class ChecksConfig(ConfigModel):
    """Checks of the data; no setting here changes a feature."""

    max_bad_fraction: float = Field(
        0.01, ge=0, le=1, description="Largest fraction of clips that may be quarantined."
    )
    normalise_labels: Annotated[bool, LaterField(False)] = Field(
        False,
        description="Divide rows of labels that do not sum to 1 within 0.001 by their sum, and "
        "report them; otherwise they are refused.",
    )
    label_format: Annotated[LabelTableFormat, LaterField("auto")] = Field(
        "auto",
        description="How train_answer.csv is read. distribution: id and a column per word, rows "
        "sum to 1; multi-hot: the same columns with cells 0 or 1; long: columns for file and "
        "label, one or several labels per row, one or several rows per clip; one-label: the same "
        "with exactly one row and one label per clip; auto: as header and cells show, and a table "
        "with two readings is refused.",
    )
    compare_with: Address | None = Field(
        None,
        description="Workspace, or features.zarr, of another data set. The drift of the decibels "
        "from it is reported with the features; none: only the drift of test from train.",
    )
