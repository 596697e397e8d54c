"""Tables shared by the terminal, Prefect's artifacts and the report."""

from collections.abc import Sequence

from overlap.ensemble.record_parts import MethodScore
from overlap.ensemble.registry import EnsembleRecord
from overlap.features.compare import DriftRow
from overlap.promotion.champion import Promotion
from overlap.system.resources.energy import watt_hours
from overlap.training.spec import MemberRecord

DRIFT_LEGEND = (
    "W1 and KS: Wasserstein (dB) and Kolmogorov-Smirnov distance. mean, std, peak: differences in "
    "dB; positive means louder. shift: W1 between the inputs of a network trained on the "
    "reference, in standard deviations."
)
"""Explanation of the columns of `drift_table`."""


def kl_table(record: EnsembleRecord) -> list[dict[str, str]]:
    """Return the KL of members, growing ensemble, pooling methods and trivial prediction."""
    rows = [
        _row(f"member {number}", "" if kl is None else f"{kl:.4f}")
        for number, kl in enumerate(record.member_kl, 1)
    ]
    rows += [
        _row(f"ensemble of {point.members * record.per_round}", f"{point.kl:.4f}",
             f"{point.low:.4f} to {point.high:.4f}")
        for point in record.curve
    ]  # fmt: skip
    if record.more:
        more, now = record.more, record.curve[-1].members * record.per_round
        expected = f"{more.low:.4f} to {more.high:.4f} less"
        rows.append(
            _row(f"ensemble of {now + more.members} (expected)", f"{more.kl:.4f}", expected)
        )
    ways = record.choice.ways if record.choice else ()
    if len(ways) > 1:
        rows += [_row(f"pooled by {one.way}", f"{one.kl:.4f}", _behind(one)) for one in ways]
    if record.trivial_kl is not None:
        rows.append(_row("trivial (mean training label)", f"{record.trivial_kl:.4f}"))
    return rows


def _behind(judged: MethodScore) -> str:
    return f"{judged.low:.4f} to {judged.high:.4f} behind" if judged.behind else "best"


def _row(what: str, kl: str, interval: str = "") -> dict[str, str]:
    return {"what": what, "KL": kl, "95 %": interval}


def relative_to_trivial(gain: float) -> str:
    """Format the relative difference of a KL to that of the trivial prediction.

    Examples:
        >>> relative_to_trivial(0.6), relative_to_trivial(-1)
        ('60.0% below', '100.0% above')
    """
    return f"{gain:.1%} below" if gain >= 0 else f"{-gain:.1%} above"


def members_table(members: Sequence[MemberRecord]) -> list[dict[str, str]]:
    """Return score and cost of each member; energy only if a device measured it."""
    measured = any(member.energy_joules is not None for member in members)
    return [
        {
            "seed": str(member.spec.seed if member.seed is None else member.seed),
            "fold": str(member.spec.fold),
            "held-out KL": "" if member.held_out_kl is None else f"{member.held_out_kl:.4f}",
            "epoch kept": f"{member.kept_epoch or len(member.history)} of {len(member.history)}",
            "clips/s": f"{member.clips_per_second:,.0f}",
            "seconds": f"{member.seconds:,.0f}",
            **({"energy": _energy(member.energy_joules)} if measured else {}),
            "device": member.device,
        }
        for member in members
    ]


def _energy(joules: float | None) -> str:
    return "" if joules is None else watt_hours(joules)


def comparison_table(promotion: Promotion) -> list[dict[str, str]]:
    """Return the comparison of a new ensemble with the champion, and the decision."""
    rows = []
    if duel := promotion.duel:
        ends = f"{duel.low:.4f} to {duel.high:.4f}"
        rows = [
            ("previous champion", f"{duel.champion}: KL {duel.champion_kl:.4f}"),
            ("new ensemble", f"{promotion.version}: KL {duel.challenger_kl:.4f}"),
            ("clips unseen by both", f"{duel.clips}, {duel.newer} newer than the champion"),
            (
                "gain",
                f"{duel.gain:.4f}, {100 * duel.confidence:g} % interval {ends}, over {duel.drawn}",
            ),
        ]
    if trivial := promotion.trivial:
        rows.append(("against the trivial prediction", str(trivial)))
    rows += [("decision", promotion.state), ("reason", promotion.reason)]
    return [{"what": what, "outcome": value} for what, value in rows]


def drift_table(rows: Sequence[DriftRow]) -> list[dict[str, str]]:
    """Return the drift, one row per pair of splits and resolution."""
    return [
        {
            "compared": f"{row.clips} / {'other' if row.other else row.reference}",
            "n_fft/win": f"{row.resolution.n_fft}/{row.resolution.win_length}",
            "W1": f"{row.drift.wasserstein_db:.2f}",
            "KS": f"{row.drift.ks:.3f}",
            "mean": f"{row.drift.mean_db:+.1f}",
            "std": f"{row.drift.std_db:+.1f}",
            "peak": f"{row.drift.peak_db:+.1f}",
            "shift": f"{row.drift.network_shift:.3f}",
        }
        for row in rows
    ]
