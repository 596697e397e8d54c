"""Figures about the trials of a study, for its report and the command line."""

from collections.abc import Sequence

from overlap.io.workspace_paths import WorkspacePaths
from overlap.training.progress import read_progress
from overlap.tuning.definition import Study
from overlap.tuning.outcomes import Trial


def epochs_of(trials: Sequence[Trial], study: Study) -> tuple[int, int]:
    """Return the epochs that the trials were trained for, and those of trials without pruning.

    Epochs that a stopped training finished after the decision count.
    """
    paths = WorkspacePaths(study.paths.workspace)
    spent = 0
    for trial in trials:
        known = max(trial.kls, default=0)
        if trial.state != "complete" and trial.member:
            done = read_progress(paths.member(trial.member).folder)
            known = max([known, *(epoch.epoch for epoch in done)])
        spent += known
    return spent, len(trials) * study.record.epochs
