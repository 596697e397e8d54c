"""Records: unknown fields are ignored, and a newer format is neither damage nor overwritten."""

import importlib
import json
import pkgutil
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import overlap
from overlap.bench.quality.records import TrainingResult
from overlap.catalog.withdrawn import Withdrawn, WithdrawnClip
from overlap.config import FeatureConfig
from overlap.ensemble.pooling import Pool
from overlap.ensemble.registry import EnsembleRecord
from overlap.errors import CorruptError, NewerFormatError
from overlap.io.atomic_update import update
from overlap.io.location import Location
from overlap.io.records import Record, record_bytes
from overlap.prediction.jobs import PredictionJob
from overlap.promotion.champion import Aliases, Promotion
from overlap.promotion.outcome import Comparison, PairedGain, TrivialComparison
from overlap.promotion.retention import RemovalMarker
from overlap.training.distillation.lesson import Distillation
from overlap.training.inference.store import GraphRecord
from overlap.training.placement import Placement
from overlap.training.spec import MemberRecord, MemberSpec
from overlap.tuning.definition import StudyRecord
from overlap.tuning.judgement import Judgement
from overlap.workspace.costs import Costs, StageCost
from overlap.workspace.history import TrainingCost
from overlap.workspace.runs import RunRecord, StageRecord
from overlap.workspace.transfer.journal import CopiedFile, JournalRecord
from overlap.workspace.transfer.moving import MovedMarker
from support.earlier_workspace import Earlier
from support.errors import raises
from support.record_files import NEWER, UNKNOWN, make_newer, with_seal


def record_classes() -> list[type[Record]]:
    """Every class of record, once all modules of overlap are imported."""
    for module in pkgutil.walk_packages(overlap.__path__, "overlap."):
        source = Path(module.module_finder.path, f"{module.name.rpartition('.')[2]}.py")
        if source.exists() and "(Record)" in source.read_text():
            importlib.import_module(module.name)
    found, queue = set(), [Record]
    while queue:
        new = {
            kind for kind in queue.pop().__subclasses__() if kind.__module__.startswith("overlap")
        }
        found |= new
        queue += new
    return sorted(found, key=lambda kind: kind.__name__)


CLASSES = record_classes()
NOW = datetime(2026, 11, 28, 9, 30, tzinfo=UTC)


@pytest.fixture
def example(kind: type[Record], earlier: Earlier) -> Record:
    """A record of a class; where release 0.1.0 stored it in a file, from there."""
    member = earlier.location / "members" / "5c203e15cacfb326"
    ensemble = earlier.location / "ensembles" / "20261127-220420-1914961e" / "ensemble.json"
    aliases = (earlier.location / "champion.json").read_record(Aliases)
    compared = next(decision for decision in aliases.history if decision.duel)
    costs = (earlier.location / "costs.json").read_record(Costs)
    record = (member / "member.json").read_record(MemberRecord)
    assert compared.duel
    assert record.placement
    gain = {
        "clips": 60, "gain": 0.1, "low": 0.05, "high": 0.15, "confidence": 0.95, "groups": 5,
        "whole": True,
    }  # fmt: skip
    stage = StageRecord(name="members", started=NOW, done=1, total=3)
    member_spec = (member / "spec.json").read_record(MemberSpec)
    clip = WithdrawnClip(split="train", clip_id="a", audio=32 * "1", withdrawn=NOW)
    copied = CopiedFile(version="1-2", sha256=64 * "0", size=12)
    examples: dict[type[Record], Record] = {
        Aliases: aliases,
        Promotion: compared,
        Comparison: compared.duel,
        Costs: costs,
        StageCost: costs.stages["features"],
        MemberRecord: record,
        MemberSpec: member_spec,
        Distillation: Distillation(members=("a", "b"), networks=("1", "2"), label_weight=0.2),
        Placement: record.placement,
        EnsembleRecord: ensemble.read_record(EnsembleRecord),
        RemovalMarker: RemovalMarker(members=("a", "b")),
        PredictionJob: PredictionJob(
            ensemble="E", members=("a",), pool=Pool(), features=FeatureConfig(), data="D",
            files=("a.wav",), out="O",
        ),
        PairedGain: PairedGain.model_validate(gain),
        TrivialComparison: TrivialComparison.model_validate(gain | {"kl": 0.5, "trivial_kl": 0.6}),
        TrainingCost: TrainingCost(seconds=2.0, energy_joules=3.0, device="CPU"),
        TrainingResult: TrainingResult(
            data_set="words9", recipe="fast", passes=8, seed=0, member="m", cpu_seconds=2.0,
            seconds=1.0, parameters=3,
        ),
        StageRecord: stage,
        RunRecord: RunRecord(id="r", kind="retrain", started=NOW, written=NOW, stages=(stage,)),
        WithdrawnClip: clip,
        Withdrawn: Withdrawn(clips=(clip,), groups=("spk1",)),
        CopiedFile: copied,
        JournalRecord: JournalRecord(source="W", files={"catalog.parquet": copied}),
        MovedMarker: MovedMarker(target="W"),
        GraphRecord: GraphRecord(network="N", graph="G", subset=2, difference=1e-6, clips=12),
        StudyRecord: StudyRecord(
            id="s", preset="demo", data="D", space=("network.dropout=0:0.5",), base=member_spec,
            first_rung=1,
        ),
        Judgement: Judgement.model_validate(
            gain | {"trial": 1, "first_kl": 0.6, "best_kl": 0.5, "members": ["a", "b"],
                    "epochs": 3, "judged": NOW}
        ),
    }  # fmt: skip
    assert set(examples) == set(CLASSES)
    return examples[kind]


def add_unknown(value: object, content: Any) -> None:
    """Add an unknown field to the JSON of every model and data class within a value."""
    if isinstance(value, BaseModel) or is_dataclass(value):
        names = type(value).model_fields if isinstance(value, BaseModel) else fields(value)
        for name in (n if isinstance(n, str) else n.name for n in names):
            if name in content:
                add_unknown(getattr(value, name), content[name])
        content[UNKNOWN] = {"any": [1, None]}
    elif isinstance(value, Mapping):
        for name, part in value.items():
            add_unknown(part, content[name])
    elif isinstance(value, (list, tuple)):
        for part, inner in zip(value, content, strict=True):
            add_unknown(part, inner)


@pytest.mark.parametrize("kind", CLASSES)
def test_unknown_fields_are_ignored_at_every_depth(
    kind: type[Record], example: Record, tmp_path: Path
) -> None:
    file = Location.of(tmp_path / "record.json")
    content = json.loads(record_bytes(example))
    add_unknown(example, content)
    file.write_bytes(with_seal(content))
    assert file.read_bytes().count(UNKNOWN.encode()) >= 1
    found = file.read_record(kind)
    assert found == example
    assert record_bytes(found) == record_bytes(example)
    if isinstance(found, MemberSpec):
        assert found.fingerprint == example.fingerprint


@pytest.mark.parametrize("kind", CLASSES)
def test_the_checksum_covers_unknown_fields(
    kind: type[Record], example: Record, tmp_path: Path
) -> None:
    file = Location.of(tmp_path / "record.json")
    sealed = with_seal(json.loads(record_bytes(example)) | {UNKNOWN: 1})
    file.write_bytes(sealed.replace(f'"{UNKNOWN}": 1'.encode(), f'"{UNKNOWN}": 2'.encode()))
    with raises(CorruptError, "checksum-mismatch", path=str(file)):
        file.read_record(kind)


@pytest.mark.parametrize("kind", CLASSES)
def test_a_newer_format_is_named_and_the_file_is_kept(
    kind: type[Record], example: Record, tmp_path: Path
) -> None:
    file = Location.of(tmp_path / "record.json")
    # The newer shape shares no field with this one: the format is compared before validation.
    newer = {"format": kind.current_format + 1, "written_by": NEWER, "shape": "new"}
    file.write_bytes(with_seal(newer))
    before = file.read_bytes()
    facts = {"path": str(file), "written_by": NEWER, "format": kind.current_format + 1}
    with raises(NewerFormatError, "newer-format", **facts) as caught:
        file.read_record(kind)
    assert {NEWER, overlap.__version__} <= {*str(caught.value).replace(",", " ").split()}
    with raises(NewerFormatError, "newer-format", **facts):
        file.write_record(example)
    with raises(NewerFormatError, "newer-format", **facts):
        update(file, kind, lambda _: (example, None))
    assert file.read_bytes() == before


@pytest.mark.parametrize("kind", CLASSES)
def test_a_record_says_its_format_and_its_writer(kind: type[Record], example: Record) -> None:
    content = json.loads(record_bytes(example))
    assert (content["format"], content["written_by"]) == (1, overlap.__version__)
    assert {"format", "written_by", "seal"} & example.model_dump().keys() == set()


@pytest.mark.parametrize("wrong", ["2", 0, -1, 1.0, True, [1]])
def test_a_format_that_is_no_version_is_damage(tmp_path: Path, wrong: object) -> None:
    file = Location.of(tmp_path / "record.json")
    file.write_json({"members": [], "format": wrong})
    with raises(CorruptError, "not-a-record", field="format"):
        file.read_record(RemovalMarker)


@pytest.mark.parametrize(
    ("content", "code"), [(b"{", "not-json"), (b"[]", "not-a-record"), (b"{}", "not-a-record")]
)
def test_damage_has_a_code_and_is_replaced(tmp_path: Path, content: bytes, code: str) -> None:
    file = Location.of(tmp_path / "record.json")
    file.write_bytes(content)
    with raises(CorruptError, code, path=str(file)):
        file.read_record(RemovalMarker)
    file.write_record(RemovalMarker(members=("a",)))
    assert file.read_record(RemovalMarker).members == ("a",)


def test_a_record_without_format_writer_and_checksum_is_read(tmp_path: Path) -> None:
    file = Location.of(tmp_path / "record.json")
    file.write_json({"members": ["a"]})
    assert file.read_record(RemovalMarker) == RemovalMarker(members=("a",))


def test_a_newer_record_without_its_writer(tmp_path: Path) -> None:
    file = Location.of(tmp_path / "record.json")
    file.write_json({"format": 7})
    with raises(NewerFormatError, "newer-format", written_by=None, format=7):
        file.read_record(RemovalMarker)


def test_make_newer_keeps_the_checksum(tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    file.write_bytes(record_bytes(RemovalMarker(members=())))
    make_newer(file)
    with raises(NewerFormatError, "newer-format", written_by=NEWER):
        Location.of(file).read_record(RemovalMarker)


def test_times_survive(tmp_path: Path) -> None:
    file = Location.of(tmp_path / "record.json")
    made = Promotion(version="v", promoted=True, reason="r", at=datetime(2026, 1, 2, tzinfo=UTC))
    file.write_record(made)
    assert file.read_record(Promotion) == made
