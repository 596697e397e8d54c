"""Which versions and members are removed, and that an interrupted removal is safe."""

import pytest

from overlap.config import RunConfig
from overlap.ensemble import registry
from overlap.errors import NotReadyError
from overlap.io.location import Location
from overlap.io.workspace_paths import (
    CHAMPION_FILE,
    ENSEMBLES_FOLDER,
    MEMBER_FILE,
    MEMBERS_FOLDER,
    MODEL_FILE,
    PREDICTIONS_FILE,
    SPEC_FILE,
)
from overlap.promotion import champion, retention
from overlap.promotion.champion import read_aliases
from overlap.promotion.retention import prune
from overlap.training.spec import MemberRecord, MemberSpec, training_key
from support.comparison_data import catalog_of
from support.errors import raises
from support.run_steps import publish_record, published


@pytest.fixture
def spec(workspace: Location) -> MemberSpec:
    """A member that is trained on the current clips."""
    catalog, run = catalog_of(range(3)), RunConfig(data="D")
    catalog.save(workspace)
    return MemberSpec(
        seed=0, fold=0, features=run.features, network=run.network, training=run.training,
        validation=run.validation, floor_db=(), mean_db=(), std_db=(), words=catalog.words,
        chunk_clips=1, training_key=training_key(catalog),
    )  # fmt: skip


def member(workspace: Location, name: str, spec: MemberSpec, key: str | None = None) -> None:
    """Write a complete member; with a key, one that was trained on other clips."""
    folder = workspace / MEMBERS_FOLDER / name
    spec = spec.model_copy(update={"training_key": key} if key else {})
    (folder / SPEC_FILE).write_record(spec)
    (folder / MODEL_FILE).write_bytes(b"network")
    record = MemberRecord(
        fingerprint=name, spec=spec, test_key="t", parameters=1, history=[], held_out_kl=None,
        clips=1, seconds=1, clips_per_second=1, device="", peak_memory_mb=1, software={}, files={},
    )  # fmt: skip
    (folder / MEMBER_FILE).write_record(record)


def publish(workspace: Location, version: str, *members: str) -> None:
    record = published(version, members=members)
    publish_record(workspace, record)
    (registry.folder_of(workspace, record) / PREDICTIONS_FILE).write_bytes(b"predictions")


def versions(workspace: Location) -> list[str]:
    return [record.version for record in registry.list_ensembles(workspace)]


def test_the_champion_its_predecessors_and_the_newest_versions_stay(
    workspace: Location, spec: MemberSpec
) -> None:
    for number in range(1, 9):
        publish(workspace, f"v{number}")
    for version in ("v1", "v2", "v4", "v3"):
        champion.promote(workspace, version)
    planned = prune(workspace, 2, dry_run=True)
    assert versions(workspace) == [f"v{number}" for number in range(1, 9)]
    done = prune(workspace, 2)
    assert done == planned
    assert done.kept == ("v2", "v3", "v4", "v7", "v8")
    assert done.versions == ("v1", "v5", "v6")
    assert versions(workspace) == [*done.kept]
    assert (workspace / ENSEMBLES_FOLDER).folders() == [*done.kept]
    assert read_aliases(workspace).leaving == ()
    assert prune(workspace, 2).versions == ()
    assert champion.rollback(workspace).version == "v4"
    assert champion.rollback(workspace).version == "v2"
    with raises(NotReadyError, "no-earlier-champion", removed=["v1"]):
        champion.rollback(workspace)


def test_only_unneeded_members_are_removed(workspace: Location, spec: MemberSpec) -> None:
    member(workspace, "old", spec, "before")
    member(workspace, "shared", spec, "before")
    member(workspace, "current", spec)  # a run may be training further members
    member(workspace, "unpublished", spec, "before")
    for name, key in (("incomplete", spec.training_key), ("half-removed", "before")):
        member(workspace, name, spec, key)
        (workspace / MEMBERS_FOLDER / name / MEMBER_FILE).remove()
    member(workspace, "damaged", spec, "before")
    (workspace / MEMBERS_FOLDER / "damaged" / MEMBER_FILE).write_bytes(b"no JSON")
    publish(workspace, "v1", "old", "shared", "current", "incomplete", "half-removed", "damaged",
            "long gone")  # fmt: skip
    publish(workspace, "v2", "shared")
    champion.promote(workspace, "v2")
    done = prune(workspace, 1)
    assert (done.versions, done.members) == (("v1",), ("half-removed", "old"))
    assert (workspace / MEMBERS_FOLDER).folders() == [
        "current", "damaged", "incomplete", "shared", "unpublished",
    ]  # fmt: skip


class InterruptedRemoval(Exception):  # noqa: N818  not an error of overlap
    """Ends the removal, like a kill."""


@pytest.mark.parametrize("steps", range(12))
def test_a_removal_may_be_interrupted_anywhere(
    workspace: Location, spec: MemberSpec, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """The published versions remain complete, and the next removal finishes this one."""
    member(workspace, "old", spec, "before")
    member(workspace, "kept", spec, "before")
    for version, name in (("v1", "old"), ("v2", "old"), ("v3", "kept")):
        publish(workspace, version, name)
    champion.promote(workspace, "v1")
    champion.promote(workspace, "v3")
    aliases = read_aliases(workspace).model_copy(update={"earlier": ()})
    (workspace / CHAMPION_FILE).write_record(aliases)
    remaining = [steps]

    def counted(function):
        def step(*arguments, **keywords):
            if remaining[0] == 0:
                raise InterruptedRemoval
            remaining[0] -= 1
            return function(*arguments, **keywords)

        return step

    with monkeypatch.context() as patched:
        patched.setattr(Location, "remove", counted(Location.remove))
        patched.setattr(Location, "write_record", counted(Location.write_record))
        patched.setattr(retention, "update", counted(retention.update))
        with pytest.raises(InterruptedRemoval):
            prune(workspace, 1)
    for record in registry.list_ensembles(workspace):
        folder = registry.folder_of(workspace, record)
        assert (folder / PREDICTIONS_FILE).exists()
        for name in record.members:
            assert (workspace / MEMBERS_FOLDER / name / MEMBER_FILE).exists()
    for name in (workspace / MEMBERS_FOLDER).folders():
        complete = (workspace / MEMBERS_FOLDER / name / MEMBER_FILE).exists()
        assert not complete or (workspace / MEMBERS_FOLDER / name / MODEL_FILE).exists()
    assert champion.champion(workspace) == "v3"
    prune(workspace, 1)
    assert (workspace / ENSEMBLES_FOLDER).folders() == ["v3"]
    assert (workspace / MEMBERS_FOLDER).folders() == ["kept"]
    assert read_aliases(workspace).leaving == ()
