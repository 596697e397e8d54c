"""A network that is cut, or slow, while a run is spread over hosts.

One host is disconnected during a stage, for a while. The run continues, or it ends
with a word; started again it ends where an undisturbed run ends.
"""

import os
import random
import time
from pathlib import Path

import pytest

from support.fault_tables import write_table
from support.network_hosts import HOSTS, Spread, hosts, spread
from support.process_fixtures import submission
from support.run_steps import Finished

SEED = int(os.environ.get("OVERLAP_SEED", "1"))
HANGS = 400.0
STAGES = {
    "start": "",
    "features": "features.zarr/blocks/key/c/*/0",
    "training": "members/*/spec.json",
    "pooling": "members/*/member.json",
}
"""What is there when a stage has begun."""
WORDS = ("Traceback", "fault of overlap itself")


def disturbed(
    service: Spread, options: tuple[object, ...], workspace: Path, host: str, stage: str,
    seconds: float, rate: str | None,
) -> tuple[str, float]:  # fmt: skip
    """Disturb a run once, and start it again where it ended; what came of it, and how long it took.

    Args:
        service: The hosts.
        options: Of the run.
        workspace: An empty one.
        host: Whose plug is pulled, or who gets slow.
        stage: When.
        seconds: For how long.
        rate: How slow; None: the plug.
    """
    began, network = time.monotonic(), service.network
    run = service.run(*options, "--workspace", workspace)
    try:
        while run.poll() is None and STAGES[stage] and not any(workspace.glob(STAGES[stage])):
            time.sleep(0.01)
        if stage == "start":
            time.sleep(6)
        reached = run.poll() is None
        network.slow(host, rate) if rate else network.cut(host)
        time.sleep(seconds)
        network.slow(host, None) if rate else network.join(host)
        _, printed = run.communicate(timeout=HANGS)
    finally:
        run.kill()
    what = "went on" if reached else "was over"
    if run.returncode:
        what = "again"
        assert not any(word in printed for word in WORDS), printed
        time.sleep(5)  # workers that were away come back
        again = service.run(*options, "--workspace", workspace)
        _, printed = again.communicate(timeout=HANGS)
        assert again.returncode == 0, printed
    return what, time.monotonic() - began


@pytest.mark.nightly
def test_a_plug_that_is_pulled_for_a_while(
    finished: Finished, data: Path, tiny: Path, tmp_path: Path
) -> None:
    with hosts() as network, spread(network, tmp_path) as service:
        options = ("--data", data, "--config", tiny)
        disturbed(service, options, tmp_path / "w", "gpu", "training", 10, None)
    assert submission(tmp_path / "w") == finished.submission


@pytest.mark.faults
def test_every_host_away_or_slow_in_every_stage(
    finished: Finished, data: Path, tiny: Path, tmp_path: Path
) -> None:
    draw, rows = random.Random(SEED), []
    with hosts() as network, spread(network, tmp_path) as service:
        options = ("--data", data, "--config", tiny)
        cases = [(host, stage) for host in HOSTS for stage in STAGES]
        for number, (host, stage) in enumerate(cases):
            rate = draw.choice(["256kbit", None, None])
            seconds = draw.choice([5, 20, 45])
            workspace = tmp_path / f"w{number}"
            what, took = disturbed(service, options, workspace, host, stage, seconds, rate)
            assert submission(workspace) == finished.submission
            fault = f"slow ({rate})" if rate else "away"
            rows.append((host, stage, f"{fault} for {seconds} s", what, f"{took:.0f}", 0))
            columns = ("host", "in", "fault", "the run", "seconds in all", "wrong")
            write_table("network", columns, rows)
