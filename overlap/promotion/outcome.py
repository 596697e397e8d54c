"""The outcomes of the comparisons of a new ensemble, as `champion.json` stores them."""

from dataclasses import dataclass

from overlap.io.formatting import counted
from overlap.io.records import Record

NOT_BETTER = "not better than the trivial prediction"
"""The outcome where the interval of the gain does not exclude zero."""
NOT_MEASURED = "not measured against the trivial prediction"
"""The outcome without a comparison."""


class PairedGain(Record):
    """The reduction of the KL by a new ensemble, paired over clips, with its interval."""

    clips: int
    """Number of clips; the new ensemble trained on none of them."""
    gain: float
    """Reduction of the KL by the new ensemble, nats."""
    low: float
    """Lower end of the gain's interval, paired over clips, nats."""
    high: float
    """Upper end, nats."""
    confidence: float
    """Confidence level of the interval."""
    groups: int | None
    """Number of groups among the clips; None where the clips have no groups."""
    whole: bool
    """Whether whole groups were resampled. With fewer than `MIN_GROUPS` groups single clips are,
    and the interval is too narrow where groups differ much."""

    @property
    def drawn(self) -> str:
        """The units that the interval resamples."""
        if self.groups is None:
            return "single clips"
        named = counted(self.groups, "group")
        return named if self.whole else f"single clips of {named}"

    @property
    def ends(self) -> str:
        """The gain with the ends of its interval, as a clause."""
        drawn = f", over {self.drawn}" if self.groups else ""
        return (
            f"{self.gain:.4f}, {100 * self.confidence:g} % interval {self.low:.4f} to "
            f"{self.high:.4f}{drawn}"
        )


class Comparison(PairedGain):
    """The outcome of a comparison; stored in `champion.json` under these names."""

    champion: str
    """Version of the champion."""
    newer: int
    """How many clips are newer than the champion, which predicted them for the comparison."""
    champion_kl: float
    """KL of the champion on these clips, nats."""
    challenger_kl: float
    """KL of the challenger on these clips, nats."""

    def __str__(self) -> str:
        newer = f", {self.newer} of them newer than {self.champion}" if self.newer else ""
        return (
            f"KL {self.challenger_kl:.4f} against {self.champion_kl:.4f} of {self.champion} on "
            f"{counted(self.clips, 'clip')} that neither trained on{newer}; gain {self.ends}"
        )


class TrivialComparison(PairedGain):
    """The comparison with the trivial prediction; stored in `champion.json` under these names."""

    kl: float
    """KL of the ensemble on its held-out clips, nats."""
    trivial_kl: float
    """KL of the trivial prediction on the same clips, nats."""

    @property
    def better(self) -> bool:
        """Whether the interval of the gain excludes zero."""
        return self.low > 0

    def __str__(self) -> str:
        return (
            f"KL {self.kl:.4f} against {self.trivial_kl:.4f} on "
            f"{counted(self.clips, 'held-out clip')}; "
            f"gain {self.ends}"
        )


@dataclass(frozen=True)
class TrivialCheck:
    """The outcome of the comparison, or why there is none."""

    comparison: TrivialComparison | None
    obstacle: str = ""
    """Why the ensemble cannot be compared; empty if it was."""
