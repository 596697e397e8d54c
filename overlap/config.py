"""The run configuration: what a field means, its unit and its bounds, said once.

The command line, the form in the Prefect UI, the schedule and the documentation are made from
these models. They are frozen and refuse unknown keys. A preset (`overlap.presets`) supplies
what the caller leaves out.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from overlap.presets import DEFAULT_PRESET, PRESETS, merged


def fingerprint(*parts: object) -> str:
    """A short name for a content: 16 hexadecimal digits of SHA-256 over canonical JSON.

    Args:
        *parts: Pydantic models, or anything that JSON can hold.
    """
    plain = [p.model_dump(mode="json") if isinstance(p, BaseModel) else p for p in parts]
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Section(BaseModel):
    """Base of every part of the configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


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
    compare_with: str | None = Field(
        None,
        description="Workspace, or features.zarr, of another data set: how far the decibels are "
        "from its are reported with the features; none: only test from train.",
    )


class Stage(Section):
    """One residual stage of the network; see `overlap.training.network`."""

    kind: Literal["plain", "bottleneck"] = Field(description="3x3, or 1x1-3x3-1x1 convolutions.")
    filters: int = Field(ge=1, description="Filters at width 1.")


class NetworkConfig(Section):
    """The network."""

    stages: tuple[Stage, ...] = Field(
        (
            Stage(kind="plain", filters=32),
            Stage(kind="plain", filters=64),
            Stage(kind="plain", filters=128),
            Stage(kind="bottleneck", filters=256),
            Stage(kind="bottleneck", filters=512),
        ),
        min_length=1,
        description="Residual stages; each ends with 2x2 average pooling.",
    )
    width: float = Field(1.0, gt=0, le=16, description="Factor on the filters of every stage.")
    input_pool: tuple[PositiveInt, PositiveInt] = Field(
        (1, 1), description="Average pooling of (mel, frame) before the first stage."
    )
    dense: int = Field(128, ge=1, description="Units of the two dense layers of the head.")
    dropout: float = Field(0.5, ge=0, lt=1, description="Rate after every stage and dense layer.")


class TrainingConfig(Section):
    """How one member is trained."""

    epochs: int = Field(187, ge=1, description="Passes over the training clips.")
    batch_size: int = Field(16, ge=1, description="Clips per step.")
    optimizer: Literal["nadam", "adamw"] = Field("nadam", description="Optimiser.")
    learning_rate: float = Field(0.002, gt=0, description="Highest learning rate.")
    schedule: Literal["constant", "cosine"] = Field(
        "constant", description="Learning rate over the training; cosine decays to zero."
    )
    warmup_epochs: float = Field(
        0.0, ge=0, description="Epochs of linear warm-up; only with the cosine schedule."
    )
    normalisation: Literal["train", "joint"] = Field(
        "train",
        description="Clips that give floor, mean and std: training clips only, or test as well.",
    )
    top_db: float = Field(
        80.0, gt=0, description="Decibels are clipped this far below their global peak."
    )
    seed: int = Field(0, ge=0, description="Member i is trained with seed + i.")
    shuffle_clips: int = Field(
        16384,
        ge=1,
        description="An epoch visits windows of about so many clips, each of whole chunks of the "
        "store in a new order, and shuffles the clips of a window among each other.",
    )
    memory_gb: float | None = Field(
        None,
        gt=0,
        description="Memory for features in one training process, GB; what does not fit is "
        "streamed from the store, two windows at a time. None: half of what the machine has free.",
    )


class ValidationConfig(Section):
    """Which training clips are held out, to score on clips that a member has never seen."""

    holdout: float = Field(
        0.1, ge=0, le=0.5, description="Fraction held out from every member; 0: none."
    )
    folds: int = Field(
        0, ge=0, le=100, description="Folds instead of a hold-out; member i leaves out fold i."
    )
    seed: int = Field(0, ge=0, description="Chooses the clips; equal seeds hold out equal clips.")

    @model_validator(mode="after")
    def _folds_are_several(self) -> Self:
        if self.folds == 1:
            raise ValueError("one fold would leave nothing to train on; use 0 or at least 2")
        return self


class EnsembleConfig(Section):
    """The ensemble."""

    members: int = Field(15, ge=1, le=1000, description="Networks to train and average.")
    pool: Literal["mean"] = Field("mean", description="How the members' predictions are combined.")


class ClusterConfig(Section):
    """Where the work is computed."""

    address: str | None = Field(
        None, description="A running Dask scheduler, such as tcp://host:8786; none: start one."
    )
    kind: str = Field(
        "local",
        description="`local`, or the import path of a cluster class, such as "
        "dask_jobqueue.SLURMCluster; used when there is no address.",
    )
    arguments: dict[str, Any] = Field(
        default_factory=dict, description="Arguments of the cluster class."
    )
    cpu_workers: int | None = Field(
        None, ge=1, le=4096, description="CPU workers; none: one per core (local cluster)."
    )
    training_workers: int | None = Field(
        None, ge=1, le=4096, description="Training workers; none: one per accelerator, at least 1."
    )
    timeout_s: float = Field(
        30.0, gt=0, description="How long to wait for a scheduler, and for its workers, seconds."
    )


class RunConfig(Section):
    """Everything that a run depends on, apart from the code."""

    data: str = Field(description="Folder or URL with train/, train_answer.csv, test/, …")
    workspace: str = Field("workspace", description="Folder or URL that holds all results.")
    preset: Literal["demo", "baseline"] = Field(
        DEFAULT_PRESET, description="Supplies every value that is not given."
    )
    features: FeatureConfig = Field(default_factory=FeatureConfig)
    store: StoreConfig = Field(default_factory=StoreConfig)
    checks: ChecksConfig = Field(default_factory=ChecksConfig)
    network: NetworkConfig = Field(default_factory=NetworkConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    validation: ValidationConfig = Field(default_factory=ValidationConfig)
    ensemble: EnsembleConfig = Field(default_factory=EnsembleConfig)
    cluster: ClusterConfig = Field(default_factory=ClusterConfig)

    @model_validator(mode="before")
    @classmethod
    def _preset_below(cls, values: Any) -> Any:  # noqa: ANN401  whatever the caller gave
        if not isinstance(values, Mapping):
            return values
        given: dict[str, Any] = {
            name: value.model_dump(exclude_unset=True) if isinstance(value, Section) else value
            for name, value in values.items()
        }
        preset = given.get("preset", DEFAULT_PRESET)
        known = isinstance(preset, str) and preset in PRESETS
        return merged(PRESETS[preset], given) if known else given

    @model_validator(mode="after")
    def _network_fits(self) -> Self:
        mels, frames, _ = self.features.shape
        pool_mel, pool_frame = self.network.input_pool
        halvings = 2 ** len(self.network.stages)
        if mels // pool_mel < halvings or frames // pool_frame < halvings:
            raise ValueError(
                f"network: {len(self.network.stages)} stages halve {mels} mel bands and {frames} "
                f"frames (after input_pool {pool_mel}x{pool_frame}) to nothing; use fewer stages"
            )
        return self

    @model_validator(mode="after")
    def _whole_rounds(self) -> Self:
        folds, members = self.validation.folds, self.ensemble.members
        if folds and members % folds:
            raise ValueError(
                f"ensemble.members {members} is not a whole number of rounds of "
                f"validation.folds {folds}"
            )
        return self
