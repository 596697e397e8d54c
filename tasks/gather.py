"""The task that pools the members, scores the ensemble and publishes it."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from overlap.config import RunConfig
from overlap.ensemble.publish import publish
from overlap.ensemble.registry import EnsembleRecord
from overlap.io.formatting import counted
from overlap.workspace.workspace import Workspace
from tasks.artifacts import show_ensemble
from tasks.progress import doing


@task(name="pool", cache_policy=NO_CACHE)
def pool_members(config: RunConfig, workspace: Workspace) -> EnsembleRecord:
    """Pool the members' predictions, score them on held-out clips, and publish the ensemble."""
    members = workspace.members(config)
    with doing(f"pooling {counted(len(members.complete), 'member')}"):
        record = publish(
            workspace.location, config, workspace.catalog, members, workspace.store,
            workspace.run_started,
        )  # fmt: skip
    show_ensemble(record)
    return record
