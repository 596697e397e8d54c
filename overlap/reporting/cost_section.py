"""The cost section of a report: time and energy of an ensemble's stages and members."""

from overlap.io.formatting import format_bytes, format_duration, format_rate
from overlap.reporting.html import Rows, Tile
from overlap.reporting.report_data import ReportData
from overlap.system.resources.energy import watt_hours
from overlap.workspace.costs import StageCost

STAGES = {"check": "checking the clips", "features": "features"}


def cost_tiles(data: ReportData) -> list[Tile]:
    """Return the total cost of the members."""
    members = data.members
    if not members:
        return []
    seconds = sum(member.seconds for member in members)
    rate = sum(member.clips * len(member.history) for member in members) / max(seconds, 1e-9)
    energy = [m.energy_joules for m in members if m.energy_joules is not None]
    waited = sum(m.host_wait_fraction * m.seconds for m in members) / max(seconds, 1e-9)
    tiles = [
        Tile(
            "Training",
            format_duration(seconds),
            f"{len(members)} members, {format_rate(rate, 'clip')}",
        ),
        Tile("Waiting for data", f"{waited:.1%}", "of the training time"),
        Tile("Peak memory", format_bytes(1e6 * max(m.peak_memory_mb for m in members))),
    ]
    if energy:
        tiles.append(Tile("Energy", f"{sum(energy) / 3.6e6:.3f} kWh", "measured by the devices"))
    return tiles


def stages_table(data: ReportData) -> Rows:
    """Return clips, seconds and energy of each stage with a known cost.

    The costs of checking and features are the sum over all runs of the workspace, because all its
    ensembles use them; the cost of training is that of this ensemble's members.
    """
    costs = {name: data.costs[stage] for stage, name in STAGES.items() if stage in data.costs}
    members = data.members
    if members:
        joules = [member.energy_joules for member in members]
        costs[f"training {len(members)} members"] = StageCost(
            clips=sum(member.clips * len(member.history) for member in members),
            seconds=sum(member.seconds for member in members),
            joules=sum(j for j in joules if j is not None) if None not in joules else None,
        )
    if data.record.seconds is not None:
        costs["pooling and scoring"] = StageCost(clips=0, seconds=data.record.seconds)
    return [_row(name, cost) for name, cost in costs.items()]


def _row(name: str, cost: StageCost) -> dict[str, str]:
    rate = cost.clips / cost.seconds if cost.clips and cost.seconds else None
    return {
        "stage": name,
        "clips": f"{cost.clips:,}" if cost.clips else "",
        "seconds": f"{cost.seconds:,.1f}",
        "clips/s": "" if rate is None else f"{rate:,.0f}",
        "energy": "not measured" if cost.joules is None else watt_hours(cost.joules),
    }
