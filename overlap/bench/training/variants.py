"""What a process of the benchmarks of training trains, and how."""

from dataclasses import dataclass

from overlap.training.feed.memory_plan import Mode


@dataclass(frozen=True)
class Variant:
    """What a process of the benchmark trains, and how."""

    name: str
    preset: str
    """Preset of the training."""
    reference: str
    """Name of the variant that the speed is compared with."""
    plain: bool = False
    """Keras's `fit` on float32 arrays instead of the training of a member."""
    member_environment: bool = True
    """Whether the process has the environment of a member's: it keeps the memory that it frees, and
    TensorFlow uses oneDNN. Otherwise it has that of a user's script."""
    own_network: bool = False
    """The network of the preset instead of the five stages that the others share."""
    members: int = 1
    """Members that train at once."""
    mode: Mode | None = None
    """Where its features are; None: where the job says."""
    cold: bool = False
    """Whether its store is removed from the page cache before each epoch."""


@dataclass(frozen=True)
class TrainingJob:
    """Input of all variants."""

    clips: int
    words: int
    width: float
    """Width of the network."""
    mode: Mode
    """Where the features of a member are."""
    shuffle_clips: int | None = None
    """Size of a shuffling window; None: that of the preset."""
