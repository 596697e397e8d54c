"""The outcome of a comparison with the champion, as `champion.json` stores it."""

from overlap.io.formatting import counted
from overlap.io.records import Record


class Comparison(Record):
    """The outcome of a comparison; stored in `champion.json` under these names."""

    champion: str
    """Version of the champion."""
    clips: int
    """Clips that neither trained on."""
    newer: int
    """How many of them are newer than the champion, which predicted them for the comparison."""
    champion_kl: float
    """KL of the champion on these clips, nats."""
    challenger_kl: float
    """KL of the challenger on these clips, nats."""
    gain: float
    """Reduction of the KL by the challenger, nats."""
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

    def __str__(self) -> str:
        newer = f", {self.newer} of them newer than {self.champion}" if self.newer else ""
        drawn = f", over {self.drawn}" if self.groups else ""
        return (
            f"KL {self.challenger_kl:.4f} against {self.champion_kl:.4f} of {self.champion} on "
            f"{counted(self.clips, 'clip')} that neither trained on{newer}; gain {self.gain:.4f}, "
            f"{100 * self.confidence:g} % interval {self.low:.4f} to {self.high:.4f}{drawn}"
        )
