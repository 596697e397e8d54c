"""Commands that look at a workspace: plan, status, verify."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import Json, Workspace, run_command
from overlap.config import RunConfig
from overlap.errors import CorruptError

if TYPE_CHECKING:
    from overlap.workspace.plan import RunPlan

RUNS = 20
"""Runs of missing blocks that `status` names; `--json` names all."""


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    run_command(app)(plan)
    app.command()(status)
    app.command()(verify)


def plan(config: RunConfig, as_json: bool) -> None:
    """What a run would do: work, bytes, memory and time; it measures for two seconds."""
    from flows.cli.console import print_json, print_next, print_table
    from overlap.features.compare import comparison_store
    from overlap.workspace.plan import plan_run

    comparison_store(config)  # a run would refuse a wrong address too
    cluster = config.cluster
    workers = cluster.adaptive.maximum or cluster.cpu_workers or os.cpu_count() or 1
    planned = plan_run(config, workers)
    if as_json:
        print_json({"cpu_workers": workers, **asdict(planned)})
        return
    feed = planned.feed
    per_member = planned.member_seconds
    print_table(
        f"What `overlap run` would do in {config.workspace}",
        ("", "to do", "in all"),
        [
            ("clips to check", planned.clips_to_check, planned.train_clips + planned.test_clips),
            ("feature blocks", planned.blocks_to_compute, planned.blocks),
            ("feature store", _size(planned.bytes_to_write), _size(planned.feature_bytes)),
            (
                "features, time",
                _duration(planned.feature_seconds),
                f"{workers} workers, {planned.clips_per_core_second:,.0f} clips/s each",
            ),
            (
                "computed by",
                f"the {planned.way}" + (" way" if planned.way == "batched" else ""),
                "",
            ),
            ("memory per feature worker", _size(planned.worker_bytes), ""),
            ("members", planned.members_to_train, planned.members),
            (
                "members, time",
                "known after the first"
                if per_member is None
                else _duration(per_member * planned.members_to_train),
                "" if per_member is None else f"{_duration(per_member)} each",
            ),
            ("features in memory per member", _size(feed.bytes), f"{feed.mode} mode"),
            ("all of it, time", _total(planned), ""),
        ],
    )
    print_next("`overlap run` with the same options does it")


def status(workspace: Workspace = "workspace", as_json: Json = False) -> None:
    """What a workspace holds."""
    from flows.cli.console import predict_next, print_json, print_next, print_table
    from overlap.io.location import Location
    from overlap.workspace.status import read_status

    found = read_status(Location.of(workspace))
    if as_json:
        print_json(asdict(found))
        return
    complete = sum(member.state == "complete" for member in found.members)
    print_table(
        found.workspace,
        ("", ""),
        [
            ("data", found.data),
            *((f"{name} clips", count) for name, count in found.clips.items()),
            ("words", found.words),
            ("feature blocks done", f"{found.blocks_done} of {found.blocks}"),
            *_missing_rows(found.blocks_missing, found.clips_missing),
            ("members complete", f"{complete} of {len(found.members)} begun"),
            ("ensembles", len(found.ensembles)),
            ("champion", found.champion or "none"),
        ],
    )
    if found.members:
        print_table(
            "Members",
            ("seed", "fold", "state", "held-out KL", "clips/s", "fingerprint"),
            [
                (
                    "" if m.seed is None else m.seed,
                    "" if m.fold is None else m.fold,
                    m.state,
                    "" if m.held_out_kl is None else f"{m.held_out_kl:.4f}",
                    "" if m.clips_per_second is None else f"{m.clips_per_second:,.0f}",
                    m.fingerprint,
                )
                for m in found.members
            ],
        )
    if found.blocks_done < found.blocks or complete < len(found.members) or not found.ensembles:
        print_next("not complete: `overlap run` with the same options goes on from here")
    else:
        predict_next(found.workspace)


def verify(
    *,
    workspace: Workspace = "workspace",
    recompute: Annotated[
        int, typer.Option(min=0, help="Blocks to compute again from the sound files.")
    ] = 1,
    everything: Annotated[bool, typer.Option("--all", help="Compute every block again.")] = False,
    repair: Annotated[
        bool, typer.Option(help="Mark what is damaged as missing; the next run makes it again.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Whether what a workspace holds is what was written there."""
    from flows.cli.console import OUT, print_json
    from overlap.io.location import Location
    from overlap.io.locks import run_lock
    from overlap.workspace import verify as library

    place = Location.of(workspace)
    result = library.verify_workspace(place, None if everything else recompute)
    if as_json:
        print_json(asdict(result))
    else:
        OUT.print(
            f"{result.blocks} blocks read and compared, {result.blocks_recomputed} of them "
            f"computed again, {result.members} members, {result.ensembles} ensembles",
            highlight=False,
        )
    marked = 0
    if repair and result.faults:
        with run_lock(place):
            marked = library.repair(place, result.faults)
    if result.faults:
        lines = "\n".join(f"  - {fault.what}" for fault in result.faults)
        if repair:
            end = f"{marked} marked as missing; run again to make them"
        else:
            end = "`overlap verify --repair` marks what is damaged as missing"
        raise CorruptError(f"{len(result.faults)} faults in {place}\n{lines}\n{end}")
    if not as_json:
        OUT.print("all is as it was written")


def _total(planned: "RunPlan") -> str:
    """Time of features and members, where that of a member is known."""
    if planned.member_seconds is None and planned.members_to_train:
        return "known after the first member"
    members = (planned.member_seconds or 0.0) * planned.members_to_train
    return _duration(planned.feature_seconds + members)


def _missing_rows(runs: Sequence[tuple[int, int]], clips: int) -> list[tuple[str, str]]:
    """Rows of the table of `status`: which blocks are missing, and how many clips they hold."""
    if not runs:
        return []
    named = [str(first) if first == last else f"{first}-{last}" for first, last in runs[:RUNS]]
    more = [f"and {len(runs) - RUNS} more runs"] if len(runs) > RUNS else []
    return [("blocks missing", ", ".join(named + more)), ("clips in them", f"{clips}")]


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
