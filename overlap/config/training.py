"""Configuration of a member: its network, its training and its held-out clips."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from overlap.config.base import ConfigModel, LaterField


class Stage(ConfigModel):
    """One residual stage of the network; see `overlap.training.network`."""

    kind: Literal["plain", "bottleneck"] = Field(description="3x3, or 1x1-3x3-1x1 convolutions.")
    filters: int = Field(ge=1, description="Filters at width 1.")


class NetworkConfig(ConfigModel):
    """The network of a member."""

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
    head: Literal["softmax", "subset", "auto"] = Field(
        "softmax",
        description="Meaning of the scores. subset: a distribution over sets of exactly k words, "
        "for labels of k equal shares; auto: subset if all labels are of that kind.",
    )


class AugmentConfig(ConfigModel):
    """Random changes of the clips of a training batch, on the device, in decibels."""

    shift_frames: int = Field(
        0, ge=0, description="Largest shift of a clip, frames; the gap is filled with silence."
    )
    masks: int = Field(
        0, ge=0, le=8, description="Bands of mel bands, and of frames, that are masked per clip."
    )
    mask_mels: int = Field(8, ge=0, description="Largest width of a mel mask, mel bands.")
    mask_frames: int = Field(12, ge=0, description="Largest width of a frame mask, frames.")
    mix: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Fraction of the clips to which another is added: powers add, and so do "
        "labels, each with its weight.",
    )
    mix_weight: Annotated[float, LaterField(0.5)] = Field(
        0.5,
        ge=0.5,
        lt=1,
        description="Smallest weight of the clip itself when another is added; 0.5: the other is "
        "at most as loud, 0.9: at least 9.5 dB quieter.",
    )
    gain_db: Annotated[float, LaterField(0.0)] = Field(
        0.0, ge=0, le=40, description="Largest change of a clip's level in either direction, dB."
    )
    filter_db: Annotated[float, LaterField(0.0)] = Field(
        0.0,
        ge=0,
        le=40,
        description="Largest gain or attenuation of a random smooth filter over the mel bands, dB.",
    )
    warp: Annotated[float, LaterField(0.0)] = Field(
        0.0,
        ge=0,
        lt=1,
        description="Largest change of the speed within a clip in either direction, as a fraction; "
        "0.2: from 0.8 to 1.2. Both ends of the clip stay.",
    )


class TrainingConfig(ConfigModel):
    """The training of a member."""

    epochs: int = Field(187, ge=1, description="Passes over the training clips.")
    batch_size: int = Field(16, ge=1, description="Clips per step.")
    whole_batches: bool = Field(
        False,
        description="Omit an epoch's last batch if it is smaller, so that all steps have one shape "
        "and are compiled once. Each epoch omits other clips.",
    )
    optimizer: Literal["nadam", "adamw", "lion", "muon"] = Field(
        "nadam",
        description="Optimiser. lion needs a learning rate of a third to a tenth of adamw's; muon "
        "is for kernels, and the rest is adamw's.",
    )
    learning_rate: float = Field(0.002, gt=0, description="Peak learning rate.")
    schedule: Literal["constant", "cosine"] = Field(
        "constant", description="Learning rate over the training; cosine decays to zero."
    )
    warmup_epochs: float = Field(
        0.0, ge=0, description="Epochs of linear warm-up; only with the cosine schedule."
    )
    weight_decay: float = Field(
        0.0, ge=0, description="Of adamw, lion and muon, per step and unit of the rate."
    )
    clip_norm: Annotated[float, LaterField(0.0)] = Field(
        0.0, ge=0, description="Largest norm of the gradient of all weights; 0: no limit."
    )
    average_epochs: float = Field(
        0.0,
        ge=0,
        description="Horizon of the exponential average of the weights, epochs; 0: none. After "
        "each epoch the weights become their average: it is scored, kept, and trained further.",
    )
    tail_epochs: Annotated[int, LaterField(0)] = Field(
        0,
        ge=0,
        description="Last epochs over whose ends the kept weights are averaged; 0: none. Training "
        "does not continue from the average. Needs keep=last.",
    )
    keep: Literal["last", "best"] = Field(
        "last",
        description="Weights to keep: those of the last epoch, or of the epoch with the lowest "
        "held-out KL (if clips are held out).",
    )
    augment: AugmentConfig = Field(default_factory=AugmentConfig)
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="Precision of the arithmetic; weights and last layer stay float32."
    )
    steps_per_call: int = Field(
        1, ge=1, description="Steps that the device executes per call of the host."
    )
    normalisation: Literal["train", "joint"] = Field(
        "train",
        description="Clips that determine floor, mean and std: training clips, or also test clips.",
    )
    top_db: float = Field(
        80.0, gt=0, description="Decibels are clipped this far below their global peak."
    )
    seed: int = Field(0, ge=0, description="Member i is trained with seed + i.")
    shuffle_clips: int = Field(
        8192,
        ge=1,
        description="Size of the shuffling window, clips: an epoch visits windows of whole chunks "
        "of the store in a new order, and shuffles the clips within each window.",
    )
    backend: Annotated[Literal["auto", "tensorflow", "jax", "torch"], LaterField("auto")] = Field(
        "auto",
        description="Keras's backend. auto: the one that KERAS_BACKEND names on the workers, "
        "otherwise the fastest one that is installed for an accelerator, and TensorFlow without "
        "one.",
    )
    memory_gb: float | None = Field(
        None,
        gt=0,
        description="Memory for features in one training process, GB; features that do not fit are "
        "streamed from the store, two windows at a time. None: half of the machine's free memory.",
    )
    device_gb: float | None = Field(
        None,
        ge=0,
        description="Memory for features on the accelerator, GB; if they fit, a step needs only "
        "row numbers from the host. None: 0.3 of the accelerator's memory.",
    )

    @model_validator(mode="after")
    def _average_is_kept(self) -> Self:
        if self.tail_epochs and self.keep == "best":
            raise ValueError(
                "tail_epochs keeps the average of the last epochs, but keep=best keeps one epoch; "
                "set training.keep=last"
            )
        return self


class ValidationConfig(ConfigModel):
    """Training clips that are held out, for scores on clips that a member has not seen."""

    holdout: float = Field(
        0.1, ge=0, le=0.5, description="Fraction of clips held out from all members; 0: none."
    )
    folds: int = Field(
        0, ge=0, le=100, description="Folds instead of a hold-out; member i omits fold i."
    )
    seed: int = Field(0, ge=0, description="Selects the clips; equal seeds hold out equal clips.")

    @model_validator(mode="after")
    def _folds_are_several(self) -> Self:
        if self.folds == 1:
            raise ValueError("one fold leaves no clips to train on; use 0 or at least 2")
        return self
