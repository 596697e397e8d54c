"""Parts of the record of a published ensemble; stored under these names."""

from dataclasses import dataclass

from overlap.ensemble.pooling import PoolingMethod


@dataclass(frozen=True)
class CurvePoint:
    """The score of an ensemble of some of the members."""

    members: int
    """Members averaged for each held-out clip; with folds, rounds."""
    kl: float
    """KL of the mean prediction on held-out clips, nats, averaged over choices of the members."""
    low: float
    """Lower end of its 95 % interval over clips, nats."""
    high: float
    """Upper end, nats."""


@dataclass(frozen=True)
class PowerLaw:
    """KL(n) = a + b * n^-c of n members."""

    a: float
    """KL in the limit of infinitely many members, nats; at least 0."""
    b: float
    """Reduction from one member to infinitely many, nats; at least 0."""
    c: float
    """Rate of the decay; 1 for members with independent errors."""

    def __call__(self, members: float) -> float:
        """Return the KL of this number of members, nats."""
        return float(self.a + self.b * members**-self.c)


@dataclass(frozen=True)
class Forecast:
    """The expected effect of more members according to the law."""

    members: int
    """Number of additional members."""
    kl: float
    """Expected KL with them, nats."""
    gain: float
    """Expected reduction of the KL, nats."""
    low: float
    """Lower end of the gain's 95 % interval over clips, nats; it assumes that the law holds."""
    high: float
    """Upper end, nats."""


@dataclass(frozen=True)
class MethodScore:
    """The cross-validated score of a pooling method; stored under these names."""

    way: PoolingMethod
    """The method."""
    kl: float
    """KL on held-out clips that the method was not fitted to, nats."""
    behind: float
    """Difference to the KL of the best method, nats; at least 0."""
    low: float
    """Lower end of the 95 % interval of `behind`, paired over clips, nats."""
    high: float
    """Upper end, nats."""


@dataclass(frozen=True)
class PoolChoice:
    """The reason for the choice of the pooling method."""

    reason: str
    """One sentence for the reader."""
    ways: tuple[MethodScore, ...] = ()
    """The methods considered, simplest first; empty if nothing is held out."""
