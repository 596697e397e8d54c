"""A workspace of release 0.1.0 is read as it is, and records of a later release are left alone."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict

import pandas as pd
import pyarrow.parquet as pq
import pytest
import zarr

from overlap.catalog import Catalog, build_catalog, list_data, previous_catalog
from overlap.catalog.rows import write_rows
from overlap.ensemble.members import load_members
from overlap.ensemble.publish import ensemble_name
from overlap.ensemble.registry import list_ensembles, published
from overlap.errors import NewerFormatError
from overlap.features import FeatureStore
from overlap.io.location import Location
from overlap.promotion.champion import Aliases, is_settled, promote, read_aliases, rollback
from overlap.promotion.retention import RemovalMarker, prune
from overlap.training.spec import MemberSpec, load_record, load_spec, plan_members
from overlap.workspace.costs import StageCost, add_cost, read_costs
from overlap.workspace.pending import pending_work
from overlap.workspace.status import read_status
from overlap.workspace.verify import repair, verify_workspace
from support.earlier_workspace import STATUS_FILE, Earlier
from support.errors import raises
from support.record_files import NEWER, UNKNOWN, add_fields, make_newer, with_seal
from support.trials import trial

FIRST, SECOND = "20261127-220258-9c8c14dc", "20261127-220420-1914961e"
MEMBERS = {
    FIRST: ("5c203e15cacfb326", "d0870b0c274bca77"),
    SECOND: ("833507599c630c00", "36870d5dfe71064d"),
}
MEMBER = MEMBERS[SECOND][0]


def test_status_is_what_the_earlier_release_printed(earlier: Earlier) -> None:
    expected = json.loads(STATUS_FILE.read_text()) | {"workspace": str(earlier.workspace)}
    assert json.loads(json.dumps(asdict(read_status(earlier.location)))) == expected


def test_nothing_is_damaged_and_nothing_is_written(earlier: Earlier) -> None:
    before = earlier.contents()
    result = verify_workspace(earlier.location, recompute=0)
    assert (result.faults, result.newer) == ((), ())
    assert (result.blocks, result.members, result.ensembles) == (3, 4, 2)
    assert earlier.contents() == before


def test_ensembles_and_history(earlier: Earlier) -> None:
    found = {record.version: record.members for record in list_ensembles(earlier.location)}
    assert found == MEMBERS
    aliases = read_aliases(earlier.location)
    assert (aliases.version, aliases.considered) == (FIRST, (FIRST, SECOND))
    assert [d.by for d in aliases.history] == ["rule", "rule", "hand"]
    assert [d.version for d in aliases.history] == [FIRST, SECOND, FIRST]


def test_folders_have_the_fingerprints_of_their_specifications(earlier: Earlier) -> None:
    for name in (name for names in MEMBERS.values() for name in names):
        folder = earlier.location / "members" / name
        record, spec = load_record(folder), load_spec(folder)
        assert record
        assert record.fingerprint == record.spec.fingerprint == name
        assert spec == record.spec
        assert str(record.folder(earlier.location)) == str(folder)


def current(earlier: Earlier) -> tuple[Catalog, FeatureStore]:
    """Catalogue and store after a look at the data, which lies in another folder now."""
    listing, config = list_data(earlier.config.data), earlier.config
    before = previous_catalog(earlier.location)
    built = build_catalog(listing, config.features.clip_format, config.checks, before)
    built.catalog.save(earlier.location)
    store = FeatureStore.find(earlier.location, config.features)
    assert store
    return built.catalog, store


def test_the_same_configuration_plans_the_members_that_are_there(earlier: Earlier) -> None:
    catalog, store = current(earlier)
    assert store.missing(catalog) == []
    config = earlier.config
    assert tuple(s.fingerprint for s in plan_members(config, catalog, store)) == MEMBERS[SECOND]
    found = load_members(earlier.location, config, catalog, store)
    assert not found.pending
    name = ensemble_name(config, catalog, found, found.complete)
    there = published(earlier.location, name)
    assert there
    assert there.version == SECOND
    assert is_settled(earlier.location, SECOND)


@trial(
    "U",
    "a workspace of 0.1.0 and a run over unchanged data",
    source="own",
    before="correct",
    now="nothing is pending",
)
def test_nothing_is_pending(earlier: Earlier) -> None:
    current(earlier)
    pending = pending_work(earlier.config, list_data(earlier.config.data))
    assert not pending.anything
    assert (pending.clips, pending.members, pending.published) == (0, 0, SECOND)


def test_costs_belong_to_the_features(earlier: Earlier) -> None:
    assert read_costs(earlier.location, earlier.config.features)["check"].clips == 84


@trial(
    "R",
    "`verify --repair` where `member.json` has a field of a later release",
    source="own",
    before="the member's folder was deleted with its weights",
    now="nothing is damaged, and nothing is written",
)
def test_an_unknown_field_deletes_no_member(earlier: Earlier) -> None:
    """`verify --repair` of release 0.1.0 removed the folder of such a member with its weights."""
    file = earlier.workspace / "members" / MEMBER / "member.json"
    content = json.loads(file.read_bytes())
    content["spec"]["features"][UNKNOWN] = 1
    content["spec"]["network"]["stages"][0][UNKNOWN] = 1
    file.write_bytes(with_seal(content | {UNKNOWN: 1}))
    before = earlier.contents()
    result = verify_workspace(earlier.location, recompute=0)
    assert (result.faults, result.newer) == ((), ())
    assert repair(earlier.location, result.faults) == 0
    assert earlier.contents() == before
    record = load_record(Location.of(file.parent))
    assert record
    assert record.spec.fingerprint == MEMBER


def test_a_specification_with_unknown_fields_keeps_its_folder(earlier: Earlier) -> None:
    """Its stored fingerprint counts, which this release cannot compute."""
    other = earlier.workspace / "members" / "0123456789abcdef"
    shutil.copytree(earlier.workspace / "members" / MEMBER, other)
    add_fields(other / "member.json", fingerprint=other.name)
    record = load_record(Location.of(other))
    assert record
    assert str(record.folder(earlier.location)) == str(other)


@trial(
    "R",
    "`verify --repair` where the records of a member have the format of a later release",
    source="own",
    before="the member's folder was deleted with its weights",
    now="the records are reported as newer, and nothing is repaired or removed",
)
@pytest.mark.parametrize("name", ["member.json", "spec.json", "placements"])
@pytest.mark.parametrize("damaged", [False, True])
def test_a_member_of_a_later_release_is_neither_missing_nor_damaged(
    earlier: Earlier, name: str, damaged: bool
) -> None:
    catalog, store = current(earlier)
    folder = earlier.workspace / "members" / MEMBER
    (file,) = (folder / name).glob("*.json") if name == "placements" else (folder / name,)
    make_newer(file)
    if name == "spec.json" and not damaged:  # begun, not complete
        (folder / "member.json").unlink()
    if damaged:
        (folder / "model.keras").write_bytes(b"")
    before = earlier.contents()
    result = verify_workspace(earlier.location, recompute=0)
    assert result.faults == ()
    assert len(result.newer) == 1
    assert {str(file), "9.9.0"} <= {word.strip(":,;") for word in result.newer[0].split()}
    assert repair(earlier.location, result.faults) == 0
    member = {m.fingerprint: m.state for m in read_status(earlier.location).members}[MEMBER]
    if name == "placements" or (name == "spec.json" and damaged):
        assert member == "complete"  # its own record is known
    else:
        assert member == "newer"
        with raises(NewerFormatError, "newer-format", path=str(file), written_by=NEWER, format=2):
            load_members(earlier.location, earlier.config, catalog, store)
        with raises(NewerFormatError, "newer-format", path=str(file)):
            pending_work(earlier.config, list_data(earlier.config.data))
    assert earlier.contents() == before


def test_a_worker_writes_over_no_specification_of_a_later_release(earlier: Earlier) -> None:
    folder = earlier.location / "members" / MEMBER
    spec = (folder / "spec.json").read_record(MemberSpec)
    make_newer(earlier.workspace / "members" / MEMBER / "spec.json")
    with raises(NewerFormatError, "newer-format"):
        (folder / "spec.json").write_record(spec)


def test_damage_beside_a_newer_specification_deletes_nothing(earlier: Earlier) -> None:
    folder = earlier.workspace / "members" / MEMBER
    (folder / "member.json").write_bytes(b"{")
    result = verify_workspace(earlier.location, recompute=0)
    assert result.faults[0].member == MEMBER
    make_newer(folder / "spec.json")
    before = earlier.contents()
    with raises(NewerFormatError, "newer-format"):  # repaired on the older finding
        repair(earlier.location, result.faults)
    assert verify_workspace(earlier.location, recompute=0).faults == ()
    assert earlier.contents() == before


@trial(
    "R",
    "old versions are removed, and one of their members has a record of a later release",
    source="own",
    before="the member was deleted",
    now="the member stays",
)
def test_pruning_keeps_a_newer_member_of_a_removed_version(earlier: Earlier) -> None:
    promote(earlier.location, SECOND)
    newer, other = MEMBERS[FIRST]
    aliases = read_aliases(earlier.location).model_copy(update={"earlier": ()})
    (earlier.location / "champion.json").write_record(aliases)
    make_newer(earlier.workspace / "members" / newer / "member.json")
    done = prune(earlier.location, keep=1)
    assert (done.versions, done.members) == ((FIRST,), (other,))
    assert (earlier.workspace / "members" / newer / "model.keras").exists()


def pruned(earlier: Earlier) -> object:
    return prune(earlier.location, keep=1)


def back(earlier: Earlier) -> object:
    return rollback(earlier.location)


def by_hand(earlier: Earlier) -> object:
    return promote(earlier.location, SECOND)


@pytest.mark.parametrize("act", [pruned, back, by_hand])
@pytest.mark.parametrize("name", ["champion.json", f"ensembles/{SECOND}/ensemble.json"])
def test_the_champion_stays_where_a_newer_record_decides(
    earlier: Earlier, act: Callable[[Earlier], object], name: str
) -> None:
    make_newer(earlier.workspace / name)
    before = earlier.contents()
    result = verify_workspace(earlier.location, recompute=0)
    assert (len(result.newer), result.faults) == (1, ())
    with raises(NewerFormatError, "newer-format", path=str(earlier.location / name)):
        act(earlier)
    assert earlier.contents() == before


def test_a_newer_mark_of_removal_stops_pruning(earlier: Earlier) -> None:
    folder = earlier.location / "ensembles" / FIRST
    (folder / "removed.json").write_record(RemovalMarker(members=MEMBERS[FIRST]))
    make_newer(earlier.workspace / "ensembles" / FIRST / "removed.json")
    before = earlier.contents()
    with raises(NewerFormatError, "newer-format", written_by=NEWER):
        prune(earlier.location, keep=1)
    assert earlier.contents() == before


def test_newer_costs_are_kept(earlier: Earlier) -> None:
    make_newer(earlier.workspace / "costs.json")
    before = earlier.contents()
    assert read_costs(earlier.location, earlier.config.features) == {}
    add_cost(earlier.location, earlier.config.features, "check", StageCost(clips=1, seconds=1))
    assert len(verify_workspace(earlier.location, recompute=0).newer) == 1
    assert earlier.contents() == before


def test_a_newer_catalogue_is_kept(earlier: Earlier) -> None:
    file = earlier.workspace / "catalog.parquet"
    table = pq.read_table(file)
    about = {k.decode(): v.decode() for k, v in table.schema.metadata.items() if k != b"pandas"}
    frame: pd.DataFrame = table.to_pandas()
    about |= {"format": "2", "written_by": NEWER}
    write_rows(Location.of(file), [frame], about)
    before = earlier.contents()
    for act in (previous_catalog, read_status, verify_workspace):
        with raises(NewerFormatError, "newer-format", path=str(file), format=2, written_by=NEWER):
            act(earlier.location)
    assert earlier.contents() == before


def test_a_newer_store_is_kept(earlier: Earlier) -> None:
    place = earlier.workspace / "features.zarr"
    zarr.open_group(place, mode="r+").attrs["format"] = 3
    before, config = earlier.contents(), earlier.config
    for act in (
        lambda: FeatureStore.open(earlier.location),
        lambda: FeatureStore.create(earlier.location, config.features, config.store),
        lambda: verify_workspace(earlier.location),
    ):
        with raises(NewerFormatError, "newer-format", path=str(place), format=3):
            act()
    assert earlier.contents() == before


def test_new_files_say_their_format(earlier: Earlier) -> None:
    current(earlier)
    metadata = pq.read_schema(earlier.workspace / "catalog.parquet").metadata
    assert metadata[b"format"] == b"1"
    (earlier.location / "champion.json").write_record(Aliases())
    assert json.loads((earlier.workspace / "champion.json").read_text())["format"] == 1
