"""Pool the members, score and publish the ensemble."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from overlap.catalog import Catalog
from overlap.config import RunConfig
from overlap.ensemble.members import load_members
from overlap.ensemble.publish import publish
from overlap.ensemble.registry import EnsembleRecord
from overlap.features import FeatureStore
from overlap.io.location import Location
from tasks.artifacts import show_ensemble


@task(name="pool", cache_policy=NO_CACHE)
def pool_members(config: RunConfig, workspace: Location) -> EnsembleRecord:
    """Pool the members' predictions, score them on held-out clips, and publish."""
    catalog = Catalog.load(workspace)
    members = load_members(workspace, config, catalog, FeatureStore.open(workspace))
    record = publish(workspace, config, catalog, members)
    show_ensemble(record)
    return record
