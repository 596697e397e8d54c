"""Studies in a workspace: judged on the reserved fold, reported, checked, removed on request."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from overlap.catalog import Catalog
from overlap.config import RunConfig
from overlap.errors import NotReadyError
from overlap.io.location import Location
from overlap.io.workspace_paths import PREDICTIONS_FILE, MemberPaths, WorkspacePaths
from overlap.metrics.divergence import kl_per_clip
from overlap.promotion.retention import prune
from overlap.reporting.study.page import StudyResult, render_study
from overlap.training.spec import MemberRecord, MemberSpec, training_key
from overlap.tuning.definition import Study, StudyRecord
from overlap.tuning.judgement import judge, plan_judgement, read_judgement
from overlap.tuning.outcomes import Trial
from overlap.tuning.paths import StudyPaths, list_studies
from overlap.tuning.space import parse_space
from overlap.tuning.studies import remove_study, study_faults
from overlap.workspace.status import read_status
from support.comparison_data import catalog_of

SEARCHES = ("network.dropout=0:0.6",)
TRIAL = Trial(3, "complete", {"network.dropout": 0.5}, "m3", {1: 0.6, 2: 0.5}, 0.5, "")
PRUNED = Trial(4, "pruned", {"network.dropout": 0.1}, "m4", {1: 0.9}, None, "pruned after epoch 1")


class Planned(Study):
    """A study whose trials are planned without a feature store."""

    def spec(self, config: RunConfig, *_: object) -> MemberSpec:
        return self.record.base.model_copy(update={"network": config.network})


@pytest.fixture
def catalog(workspace: Location) -> Catalog:
    found = catalog_of(range(40))
    found.save(workspace)
    return found


@pytest.fixture
def study(workspace: Location, catalog: Catalog) -> Study:
    config = RunConfig.model_validate(
        {
            "data": "D", "workspace": str(workspace), "validation": {"folds": 4, "holdout": 0},
            "ensemble": {"members": 4},
        }
    )  # fmt: skip
    base = MemberSpec(
        seed=7, fold=0, features=config.features, network=config.network, training=config.training,
        validation=config.validation, floor_db=(), mean_db=(), std_db=(), words=catalog.words,
        chunk_clips=1, training_key=training_key(catalog), reserved=3,
    )  # fmt: skip
    record = StudyRecord(id="s", preset="demo", data="D", space=SEARCHES, base=base, first_rung=1)
    paths = StudyPaths.of(workspace, "s")
    paths.record.write_record(record)
    return Planned(record, config, parse_space(SEARCHES, config), paths)


def complete(workspace: Location, spec: MemberSpec, held_out: np.ndarray | None = None) -> str:
    """Write a complete member with predictions of its held-out clips."""
    paths = MemberPaths(spec.folder(workspace))
    paths.spec.write_record(spec)
    files = {}
    if held_out is not None:
        paths.predictions.write_arrays({"held_out": held_out})
        files = {PREDICTIONS_FILE: str(paths.predictions.digest())}
    record = MemberRecord(
        fingerprint=spec.fingerprint, spec=spec, test_key="t", parameters=1,
        history=[{"loss": 1.0}] * 2, held_out_kl=0.5, clips=1, seconds=1, clips_per_second=1,
        device="", peak_memory_mb=1, software={}, files=files,
    )  # fmt: skip
    paths.record.write_record(record)
    return spec.fingerprint


def begun(study: Study, *members: str) -> None:
    """Write a journal with the members of trials."""
    lines = [
        {"op_code": 8, "trial_id": n, "user_attr": {"member": m}} for n, m in enumerate(members)
    ]
    study.paths.journal.write_bytes(b"".join(json.dumps(line).encode() + b"\n" for line in lines))


def test_the_reserved_fold_judges_new_seeds(
    workspace: Location, catalog: Catalog, study: Study
) -> None:
    plan = plan_judgement(study, TRIAL, 2, catalog, None)
    assert plan is not None
    assert [spec.seed for spec in plan.specs] == [8, 8, 9, 9]
    assert {spec.network.dropout for spec in plan.best} == {0.5}
    assert all(spec.judged and spec.reserved == 3 for spec in plan.specs)
    rows = plan.first[0].partition(catalog).reserved
    labels = catalog.labels[rows]
    good, bad = (0.9 * labels + 0.1 / labels.shape[1], np.full_like(labels, 1 / labels.shape[1]))
    for spec in plan.first:
        complete(workspace, spec, bad)
    for spec, predicted in zip(plan.best, (good, bad), strict=True):
        complete(workspace, spec, predicted)
    found = judge(workspace, plan, catalog, None)
    first = kl_per_clip(labels, bad)
    best = (kl_per_clip(labels, good) + first) / 2
    assert found.gain == pytest.approx(float((first - best).mean()))
    assert (found.first_kl, found.best_kl) == pytest.approx((first.mean(), best.mean()))
    assert (found.clips, found.epochs, found.uses) == (len(rows), 8, 1)
    assert found.low > 0
    assert "better" in found.verdict
    study.paths.judgement.write_record(found)
    assert judge(workspace, plan, catalog, read_judgement(study.paths.judgement)) == found


def test_worse_settings_and_a_second_use_are_stated(
    workspace: Location, catalog: Catalog, study: Study
) -> None:
    plan = plan_judgement(study, TRIAL, 1, catalog, None)
    assert plan is not None
    labels = catalog.labels[plan.first[0].partition(catalog).reserved]
    flat = np.full_like(labels, 1 / labels.shape[1])
    complete(workspace, plan.first[0], 0.9 * labels + 0.1 * flat)
    complete(workspace, plan.best[0], flat)
    worse = judge(workspace, plan, catalog, None)
    assert worse.high < 0
    assert "worse" in worse.verdict
    before = worse.model_copy(update={"members": ("other",), "uses": 1})
    again = judge(workspace, plan, catalog, before)
    assert again.uses == 2
    result = StudyResult(
        study, (TRIAL, PRUNED), TRIAL, again, {"network.dropout": 1.0}, "width = 1"
    )
    html = render_study(result)
    assert "worse than the preset" in html
    assert "2 times" in html
    assert "pruned after epoch 1" in html
    assert "width = 1" in html
    assert "<script" not in html
    assert not re.search(r"https?://(?!www\.w3\.org)", html)


def test_the_preset_as_the_best_trial_needs_no_judgement(study: Study, catalog: Catalog) -> None:
    values = {"network.dropout": study.config.network.dropout}
    trial = Trial(0, "complete", values, "m0", {1: 0.5}, 0.5, "")
    assert plan_judgement(study, trial, 3, catalog, None) is None
    html = render_study(StudyResult(study, (trial,), trial, None, {}, ""))
    assert "no trial was better" in html


def test_pruning_keeps_the_members_of_a_study(
    workspace: Location, catalog: Catalog, study: Study
) -> None:
    name = complete(workspace, study.record.base)
    begun(study, name)
    assert prune(workspace, 1).members == ()
    assert WorkspacePaths(workspace).members.folders() == [name]


def test_the_status_lists_members_of_ensembles_alone(
    workspace: Location, catalog: Catalog, study: Study
) -> None:
    complete(workspace, study.record.base)
    other = complete(workspace, study.record.base.model_copy(update={"reserved": None}))
    found = {member.fingerprint: member.state for member in read_status(workspace).members}
    assert found[other] == "complete"
    assert study.record.base.fingerprint not in found


def test_a_study_is_removed_with_its_members_alone(
    workspace: Location, catalog: Catalog, study: Study
) -> None:
    own, shared, judging, ensemble = (
        complete(workspace, study.record.base.model_copy(update=changes))
        for changes in ({}, {"seed": 1}, {"judged": True}, {"reserved": None})
    )
    begun(study, own, shared, judging, ensemble, "never-begun")
    other = StudyPaths.of(workspace, "other")
    other.record.write_record(study.record.model_copy(update={"id": "other"}))
    other.journal.write_bytes(
        json.dumps({"op_code": 8, "user_attr": {"member": shared}}).encode() + b"\n"
    )
    planned = remove_study(workspace, "s", dry_run=True)
    assert {*planned.members} == {own, judging}
    assert list_studies(workspace) == ["other", "s"]
    assert remove_study(workspace, "s") == planned
    assert list_studies(workspace) == ["other"]
    assert {*WorkspacePaths(workspace).members.folders()} == {shared, ensemble}


def test_an_unknown_study_is_named(workspace: Location, study: Study) -> None:
    with pytest.raises(NotReadyError) as caught:
        remove_study(workspace, "x")
    assert (caught.value.code, caught.value.fields["studies"]) == ("no-study", ("s",))


def test_damage_of_a_study_is_found(workspace: Location, study: Study, tmp_path: Path) -> None:
    begun(study, "m")
    assert [*study_faults(workspace)] == []
    whole = study.paths.journal.read_bytes()
    study.paths.journal.write_bytes(whole + b'{"cut')  # a kill; not damage
    assert [*study_faults(workspace)] == []
    study.paths.journal.write_bytes(b"\0" + whole)
    damaged = study.paths.record.read_bytes().replace(b'"preset": "demo"', b'"preset": "fast"')
    study.paths.record.write_bytes(damaged)
    assert len([*study_faults(workspace)]) == 2
