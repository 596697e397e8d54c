"""The configuration of the cluster: where the work is computed."""

from typing import Any

from pydantic import Field

from overlap.config.base import Section


class ClusterConfig(Section):
    """Where the work is computed."""

    address: str | None = Field(
        None, description="A running Dask scheduler, such as tcp://host:8786; none: start one."
    )
    kind: str = Field(
        "local",
        description="`local`, or the import path of a cluster class, such as "
        "dask_jobqueue.SLURMCluster; used when there is no address.",
    )
    arguments: dict[str, Any] = Field(
        default_factory=dict, description="Arguments of the cluster class."
    )
    cpu_workers: int | None = Field(
        None, ge=1, le=4096, description="CPU workers; none: one per core (local cluster)."
    )
    training_workers: int | None = Field(
        None, ge=1, le=4096, description="Training workers; none: one per accelerator, at least 1."
    )
    members_per_gpu: int = Field(
        1,
        ge=1,
        le=16,
        description="Members that train side by side on one accelerator of the local cluster, each "
        "with its part of the memory. A worker of another cluster offers GPU=2, and two threads.",
    )
    timeout_s: float = Field(
        30.0, gt=0, description="How long to wait for a scheduler, and for its workers, seconds."
    )
