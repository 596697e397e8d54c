"""Any sequence of publish, promote, rollback and prune leaves a complete champion."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from overlap.config import PromotionConfig
from overlap.ensemble import registry
from overlap.errors import NotReadyError
from overlap.io.location import Location
from overlap.io.workspace_paths import MEMBERS_FOLDER, MODEL_FILE
from overlap.promotion import champion, decision
from overlap.promotion.challenge import plan_comparison
from overlap.promotion.champion import read_aliases
from overlap.promotion.retention import prune
from support.comparison_data import catalog_of
from support.errors import raises
from support.run_steps import publish_record, published


class Workspace(RuleBasedStateMachine):
    """A workspace in which every version shares one of its two members with the previous version.

    The members' folders hold no specification, as after an interrupted removal: only a version
    that lists a member keeps it.
    """

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.place = Location.of(self.folder)
        catalog_of(range(3)).save(self.place)
        self.count = 0
        self.expected: str | None = None
        self.stack: list[str] = []  # earlier champions, in the order of `rollback`

    def versions(self) -> list[str]:
        return [record.version for record in registry.list_ensembles(self.place)]

    def expect_champion(self, version: str) -> None:
        if version != self.expected:
            self.stack += [self.expected] if self.expected else []
            self.expected = version

    @rule(config=st.sampled_from(["better", "always", "never"]))
    def publish(self, config: str) -> None:
        self.count += 1
        members = tuple(f"m{n}" for n in (self.count, self.count - 1))
        for name in members:
            (self.place / MEMBERS_FOLDER / name / MODEL_FILE).write_bytes(b"network")
        record = published(f"v{self.count:03}", members=members)
        publish_record(self.place, record)
        current = champion.current_champion(self.place, record)
        plan = plan_comparison(self.place, current, record) if current else None
        outcome = decision.consider(self.place, record, PromotionConfig(rule=config), plan)
        assert outcome.promoted == (
            config == "always" or (config == "better" and self.expected is None)
        )
        if outcome.promoted:
            self.expect_champion(record.version)

    @precondition(lambda self: self.versions())
    @rule(data=st.data())
    def promote(self, data: st.DataObject) -> None:
        version = data.draw(st.sampled_from(self.versions()))
        champion.promote(self.place, version)
        self.expect_champion(version)

    @rule()
    def rollback(self) -> None:
        published = set(self.versions())
        while self.stack and self.stack[-1] not in published:
            self.stack.pop()
        if not self.stack:
            with raises(NotReadyError, "no-earlier-champion"):
                champion.rollback(self.place)
            return
        self.expected = self.stack.pop()
        assert champion.rollback(self.place).version == self.expected

    @rule(keep=st.integers(1, 4))
    def prune(self, keep: int) -> None:
        before = self.versions()
        earlier = [v for v in dict.fromkeys(reversed(self.stack)) if v in before]
        done = prune(self.place, keep)
        assert {*done.kept} == {*before[-keep:], *earlier[:keep]} | {
            v for v in before if v == self.expected
        }
        assert self.versions() == [*done.kept]
        assert {*done.versions} == {*before} - {*done.kept}

    @invariant()
    def the_champion_exists_with_its_members(self) -> None:
        if not hasattr(self, "place"):
            return
        assert champion.champion(self.place) == self.expected
        assert read_aliases(self.place).leaving == ()
        if self.expected is not None:
            assert champion.find_ensemble(self.place, "champion")[1].version == self.expected
        for record in registry.list_ensembles(self.place):
            for name in record.members:
                assert (self.place / MEMBERS_FOLDER / name / MODEL_FILE).exists()

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)


TestWorkspace = Workspace.TestCase
TestWorkspace.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
