"""Judges a student against the ensemble that it was distilled from; promotes neither."""

from overlap.catalog import Catalog
from overlap.ensemble.registry import EnsembleRecord
from overlap.io.atomic_update import update
from overlap.io.location import Location
from overlap.io.workspace_paths import WorkspacePaths
from overlap.promotion.challenge import plan_comparison
from overlap.promotion.champion import Aliases, Promotion
from overlap.promotion.rule import promotion_hint
from overlap.promotion.trivial import check_trivial


def judge_student(
    workspace: Location,
    ensemble: EnsembleRecord,
    student: EnsembleRecord,
    confidence: float,
    catalog: Catalog | None = None,
) -> Promotion:
    """Compare a student with its ensemble, as a challenger with a champion, and record the result.

    Both held out the same clips. The comparison is paired over these, and its interval resamples
    whole groups where there are enough. Whatever it says, the champion stays: `overlap models
    promote` makes the student the champion. A decision that exists already is returned.

    Args:
        workspace: The workspace.
        ensemble: The ensemble that was distilled.
        student: The published student.
        confidence: Confidence level of the gain's interval.
        catalog: The catalogue of the workspace; None: read it.
    """
    catalog = Catalog.load(workspace) if catalog is None else catalog
    plan = plan_comparison(workspace, ensemble, student, catalog)
    duel = plan.compare(confidence) if len(plan.shared.rows) else None
    facts = str(duel) if duel else plan.obstacle or "no clip was held out by both"
    decision = Promotion(
        version=student.version, promoted=False, by="hand", duel=duel,
        reason=f"distilled from {ensemble.version}: {facts}; {promotion_hint(student.version)}",
        trivial=check_trivial(workspace, student, confidence, catalog).comparison,
    )  # fmt: skip

    def change(aliases: Aliases) -> tuple[Aliases, Promotion]:
        known = [d for d in aliases.history if d.version == student.version and d.duel == duel]
        return (aliases, known[-1]) if known else (aliases.with_decision(decision), decision)

    return update(WorkspacePaths(workspace).champion, Aliases, change)
