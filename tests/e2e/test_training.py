"""Trainings at their real sizes: memory of 110,000 clips, and kills at any moment."""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from overlap.bench.scale import mark_block, write_catalogue
from overlap.catalog import Catalog
from overlap.config import FeatureConfig, RunConfig, StoreConfig
from overlap.features import FeatureStore, block_job
from overlap.io.location import Location
from overlap.io.workspace_paths import PREDICTIONS_FILE, SPEC_FILE
from overlap.system.child_process import run_child
from overlap.training.spec import MemberRecord, MemberSpec, load_record, plan_members
from support.run_steps import computed

pytestmark = pytest.mark.nightly
CLIPS, KILLS = 110_000, 10


@pytest.fixture(scope="module")
def whole_task(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Location]:
    """A workspace with 110,000 clips' features, 5.7 GB, of noise."""
    workspace = Location.of(tmp_path_factory.mktemp("task") / "workspace")
    write_catalogue(workspace, CLIPS)
    catalog = Catalog.load(workspace)
    store = FeatureStore.create(workspace, FeatureConfig(), StoreConfig())
    store.sync(catalog)
    noise = np.random.default_rng(0).normal(-40, 15, (512, *store.config.shape)).astype(np.float16)
    for block in store.blocks(catalog):
        store.write_rows(block.start, noise[: block.clips])
        mark_block(block_job(workspace, catalog, block))
    yield workspace
    workspace.remove()


def member_of(workspace: Location, **training: object) -> MemberSpec:
    """One epoch of a network that a processor does in a minute: the features are what matters."""
    config = RunConfig(
        data="/data",
        workspace=str(workspace),
        network={"stages": [{"kind": "plain", "filters": 8}], "input_pool": [16, 16], "dense": 16},
        training={"epochs": 1, "batch_size": 256, "shuffle_clips": 4096, **training},
    )
    return plan_members(config, Catalog.load(workspace), FeatureStore.open(workspace))[0]


def start(workspace: Location, spec: MemberSpec) -> list[str]:
    (spec.folder(workspace) / SPEC_FILE).write_record(spec)
    return [str(workspace), spec.fingerprint]


@pytest.mark.parametrize(
    ("mode", "memory_gb", "limit_mb"), [("stream", 0.5, 2000), ("memory", 6.0, 8000)]
)
def test_the_whole_task_trains_within_its_memory(
    whole_task: Location, mode: str, memory_gb: float, limit_mb: float
) -> None:
    spec = member_of(whole_task, memory_gb=memory_gb)
    run_child("overlap.training.member", start(whole_task, spec), lambda _event: None)
    record = load_record(spec.folder(whole_task))
    assert record is not None
    sys.stdout.write(
        f"{mode}: {record.peak_memory_mb:,.0f} MB, {record.clips_per_second:,.0f} clips/s, "
        f"{record.host_wait_fraction:.1%} of the time waiting\n"
    )
    assert record.feed == mode
    assert record.peak_memory_mb < limit_mb
    spec.folder(whole_task).remove()


def weights(workspace: Location, spec: MemberSpec) -> tuple[MemberRecord, list[np.ndarray]]:
    from overlap.training.saved import load_network

    record = load_record(spec.folder(workspace))
    assert record is not None
    return record, load_network(spec.folder(workspace), record).get_weights()


def test_killed_ten_times_a_member_ends_with_the_same_weights(
    config: RunConfig, tmp_path: Path
) -> None:
    """Signal 9 at moments drawn at random, by turns with every place for the features."""
    recipe = {
        "epochs": 12,
        "optimizer": "adamw",
        "schedule": "cosine",
        "average_epochs": 0.5,
        "keep": "best",
        "augment": {"mix": 0.5, "shift_frames": 4, "masks": 1},
        "shuffle_clips": 16,
    }
    wanted = RunConfig.model_validate(
        config.model_dump() | {"training": config.training.model_dump() | recipe}
    )
    spec, workspace = plan_members(wanted, *computed(wanted))[0], Location.of(config.workspace)
    run_child("overlap.training.member", start(workspace, spec), lambda _event: None)
    undisturbed, expected = weights(workspace, spec)
    saved = (spec.folder(workspace) / PREDICTIONS_FILE).read_arrays()
    spec.folder(workspace).remove()

    draw, kills = random.Random(20261125), 0
    places = ({"memory_gb": 1.0}, {"memory_gb": 0.002}, {"device_gb": 1.0})
    while load_record(spec.folder(workspace)) is None:
        training = spec.training.model_copy(update=places[kills % 3])
        here = spec.model_copy(update={"training": training})
        assert here.fingerprint == spec.fingerprint
        command = [sys.executable, "-m", "overlap.training.member", *start(workspace, here)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
            if kills < KILLS:
                # Most moments lie after the first line, which says that the training begins.
                if kills % 4:
                    assert child.stdout is not None
                    child.stdout.readline()
                time.sleep(draw.uniform(0, 3))
                child.kill()
                kills += child.wait() == -9
            else:
                child.communicate()
                assert child.returncode == 0
    record, found = weights(workspace, spec)
    sys.stdout.write(f"{kills} kills\n")
    assert kills >= min(KILLS, 5)
    assert record.history == undisturbed.history
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    again = (spec.folder(workspace) / PREDICTIONS_FILE).read_arrays()
    assert all(np.array_equal(again[name], values) for name, values in saved.items())
