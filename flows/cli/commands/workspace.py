"""The commands for a workspace: plan, status, verify."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import Json, WorkspaceOption, run_command
from overlap.errors import CorruptError
from overlap.io.formatting import counted, format_bytes, format_duration, format_rate

if TYPE_CHECKING:
    from overlap.config import RunConfig
    from overlap.workspace.plan import RunPlan

RUNS = 20
"""Runs of missing blocks that `status` lists; `--json` lists all."""


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    run_command(app)(plan)
    app.command()(status)
    app.command()(verify)


def plan(config: "RunConfig", as_json: bool) -> None:
    """Estimate the work, bytes, memory and time of a run; measures for two seconds."""
    from flows.cli.console import OUT, print_json, print_next, print_table
    from overlap.features.compare import comparison_store
    from overlap.system.resources.processors import usable_processors
    from overlap.workspace.plan import plan_run

    comparison_store(config)  # refuse a wrong address, as a run does
    cluster = config.cluster
    workers = cluster.adaptive.maximum or cluster.cpu_workers or usable_processors()
    planned = plan_run(config, workers)
    if as_json:
        print_json({"cpu_workers": workers, "upper_bound": planned.upper_bound, **asdict(planned)})
        return
    feed, at_most = planned.feed, "at most " if planned.upper_bound else ""
    per_member, in_all = planned.member_seconds, planned.training_seconds
    together = f", {n} at a time" if (n := planned.members_at_once) > 1 else ""
    print_table(
        f"Work of `overlap run` in {config.workspace}",
        ("", "to do", "total"),
        [
            ("clips to check", planned.clips_to_check, planned.train_clips + planned.test_clips),
            ("feature blocks", f"{at_most}{planned.blocks_to_compute}", planned.blocks),
            (
                "feature store",
                at_most + format_bytes(planned.bytes_to_write),
                format_bytes(planned.feature_bytes),
            ),
            (
                "features, time",
                at_most + format_duration(planned.feature_seconds),
                (
                    f"{counted(workers, 'worker')}, "
                    f"{format_rate(planned.clips_per_core_second, 'clip')} each"
                ),
            ),
            (
                "computed by",
                f"the {planned.way}" + (" way" if planned.way == "batched" else ""),
                "",
            ),
            ("memory per feature worker", format_bytes(planned.worker_bytes), ""),
            ("members", f"{at_most}{planned.members_to_train}", planned.members),
            (
                "members, time",
                "known after the first" if in_all is None else at_most + format_duration(in_all),
                "" if per_member is None else f"{format_duration(per_member)} each{together}",
            ),
            ("features in memory per member", format_bytes(feed.bytes), f"{feed.mode} mode"),
            ("total time", _total(planned, at_most), ""),
        ],
    )
    if at_most:
        OUT.print(
            f"at most: {planned.clips_to_check} clips are unchecked; unusable clips, and files "
            "with the same sound as before, need no work",
            highlight=False,
        )
    print_next("`overlap run` with the same options starts the run")


def status(workspace: WorkspaceOption = "workspace", as_json: Json = False) -> None:
    """Show the status of a workspace."""
    from flows.cli.console import predict_next, print_json, print_next, print_table
    from overlap.io.location import Location
    from overlap.tuning.paths import list_studies
    from overlap.workspace.status import read_status

    place = Location.of(workspace)
    found, studies = read_status(place), list_studies(place)
    if as_json:
        print_json(asdict(found) | {"studies": studies})
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
            *(("study", name) for name in studies),
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
        print_next("incomplete: `overlap run` with the same options resumes")
    else:
        predict_next(found.workspace)


def verify(
    *,
    workspace: WorkspaceOption = "workspace",
    recompute: Annotated[
        int, typer.Option(min=0, help="Number of blocks to recompute from the sound files.")
    ] = 1,
    everything: Annotated[
        bool, typer.Option("--all/--no-all", help="Recompute every block.")
    ] = False,
    repair: Annotated[
        bool, typer.Option(help="Mark damaged parts as missing; the next run makes them again.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare the files of a workspace with their digests."""
    from flows.cli.console import OUT, print_json
    from overlap.workspace import verify as library
    from overlap.workspace.workspace import Workspace

    opened = Workspace.of(workspace)
    place = opened.location
    blocks, marked = None if everything else recompute, 0
    if repair:
        result, marked = library.verify_and_repair(opened, blocks)
    else:
        result = library.verify_workspace(place, blocks)
    if as_json:
        print_json(asdict(result))
    else:
        OUT.print(
            f"{counted(result.blocks, 'block')} compared, {result.blocks_recomputed} of them "
            f"recomputed, {counted(result.members, 'member')}, "
            f"{counted(result.ensembles, 'ensemble')}",
            highlight=False,
        )
        for line in result.newer:
            OUT.print(f"newer: {line}", highlight=False, soft_wrap=True)
    if result.faults:
        lines = "\n".join(f"  - {fault.what}" for fault in result.faults)
        if repair:
            end = f"{marked} marked as missing; `overlap run` recreates them"
        else:
            end = "`overlap verify --repair` marks damaged parts as missing"
        raise CorruptError(
            f"{counted(len(result.faults), 'fault')} in {place}\n{lines}\n{end}",
            code="faults-found",
            workspace=str(place),
            faults=[fault.what for fault in result.faults],
            marked=marked,
        )
    if not as_json and not result.newer:
        OUT.print("OK: no damage found")


def _total(planned: "RunPlan", at_most: str) -> str:
    """Format the time of features and members; that of a member may be unknown."""
    if planned.member_seconds is None and planned.members_to_train:
        return "known after the first member"
    return at_most + format_duration(planned.feature_seconds + (planned.training_seconds or 0.0))


def _missing_rows(runs: Sequence[tuple[int, int]], clips: int) -> list[tuple[str, str]]:
    """Rows of the table of `status` about missing blocks and their clips."""
    if not runs:
        return []
    named = [str(first) if first == last else f"{first}-{last}" for first, last in runs[:RUNS]]
    more = [f"and {counted(len(runs) - RUNS, 'more run')}"] if len(runs) > RUNS else []
    return [("blocks missing", ", ".join(named + more)), ("clips in them", f"{clips}")]
