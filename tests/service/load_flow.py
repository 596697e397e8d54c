"""A flow as large as the task, whose blocks and members compute nothing: SCHEDULER WORKSPACE.

Everything between Prefect, Dask and the workspace is the real thing: 2,000 blocks go through the
feature stage, 110 member tasks wait for the training worker and report their epochs.
"""

import sys
import time

from prefect import flow, task

from flows.retrain import MEMBER_THREADS
from overlap.bench.scale import mark_block, write_catalogue
from overlap.config import FeatureConfig, StoreConfig
from overlap.io.location import Location
from tasks.cluster import Cluster
from tasks.features import compute_missing
from tasks.members import TrainingJob, _epoch_shown_on, on_training_worker, stopped_on_error
from tasks.on_worker import report
from tasks.progress import stage

BLOCKS, BLOCK_CLIPS = 2000, 16
MEMBERS, EPOCHS, EPOCH_SECONDS = 110, 20, 0.02


def pretend(topic: str) -> None:
    """On the training worker: report epochs."""
    for epoch in range(1, EPOCHS + 1):
        time.sleep(EPOCH_SECONDS)
        report(topic, {"event": "epoch", "epoch": epoch, "loss": 1.0, "clips_per_second": 1.0})


@task
def features(scheduler: Cluster, workspace: Location) -> int:
    """The feature stage."""
    write_catalogue(workspace, BLOCKS * BLOCK_CLIPS)
    cut = StoreConfig(chunk_clips=8, block_clips=BLOCK_CLIPS)
    return compute_missing(scheduler, workspace, FeatureConfig(), cut, mark_block).written


@task(task_run_name="member {number}")
def member(scheduler: Cluster, number: int, stop: object) -> None:
    """One member, as `tasks.members.train_member` follows it."""
    with stage(f"member {number} (epochs)", EPOCHS, keep=False) as progress:
        job = TrainingJob(pretend, (), f"member {number}", number)
        on_training_worker(scheduler, job, stop, _epoch_shown_on(progress, f"member {number}"))


@flow(task_runner=MEMBER_THREADS)
def large(address: str, folder: str) -> None:
    """Blocks, then members."""
    scheduler = Cluster(address=address)
    assert features(scheduler, Location.of(folder)) == BLOCKS
    with stopped_on_error() as stop:
        for future in [member.submit(scheduler, n, stop) for n in range(1, MEMBERS + 1)]:
            future.result()


if __name__ == "__main__":
    large(*sys.argv[1:])
