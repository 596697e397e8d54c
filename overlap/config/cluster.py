"""Configuration of the Dask cluster."""

from typing import Any, Self

from pydantic import Field, model_validator

from overlap.config.base import Address, ConfigModel


class AdaptiveConfig(ConfigModel):
    """Bounds between which the number of workers follows the amount of work."""

    minimum: int = Field(0, ge=0, le=4096, description="Workers that remain when there is no work.")
    maximum: int = Field(0, ge=0, le=4096, description="Largest number of workers; 0: it is fixed.")
    training_minimum: int = Field(
        0,
        ge=0,
        le=4096,
        description="Workers of cluster.training that remain without work.",
    )
    training_maximum: int = Field(
        1, ge=1, le=4096, description="Largest number of workers of cluster.training."
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for least, most in (
            ("minimum", "maximum"),
            ("training_minimum", "training_maximum"),
        ):
            if getattr(self, least) > getattr(self, most):
                raise ValueError(
                    f"{least} {getattr(self, least)} is more than {most} {getattr(self, most)}"
                )
        return self


class ClusterConfig(ConfigModel):
    """The Dask cluster that computes the work."""

    address: Address | None = Field(
        None,
        description="A running Dask scheduler, such as tcp://host:8786; none: start one.",
    )
    kind: str = Field(
        "local",
        description="`local`, or the import path of a cluster class, such as "
        "dask_jobqueue.SLURMCluster; used when no address is given.",
    )
    arguments: dict[str, Any] = Field(
        default_factory=dict, description="Arguments of the cluster class."
    )
    training: dict[str, Any] | None = Field(
        None,
        description="Options in which training workers differ, for a class that starts only one "
        "kind: options of a worker, or arguments of add_worker_group; none: all are alike.",
    )
    cpu_workers: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="CPU workers; none: one per processor that the run may use (local cluster).",
    )
    training_workers: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="Training workers; none: one per accelerator, at least 1. Without an "
        "accelerator, a local cluster also trains several members at a time; 1 ends that.",
    )
    adaptive: AdaptiveConfig = Field(
        default_factory=AdaptiveConfig,
        description="Bounds of the number of workers of a cluster class, which follows the work.",
    )
    members_per_gpu: int = Field(
        1,
        ge=1,
        le=16,
        description="Members that train concurrently on one accelerator of the local cluster, each "
        "with its share of the memory. In other clusters, a worker with GPU=2 and two threads.",
    )
    features_on_gpu_workers: bool = Field(
        False,
        description="Whether workers with GPU also compute features; otherwise they do so only if "
        "there are no other workers.",
    )
    timeout_s: float = Field(
        30.0,
        gt=0,
        description="Time to wait for a scheduler and for the workers that the work needs, "
        "seconds; as long as a batch system may queue a job.",
    )

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        if self.address is not None:
            return self  # the other settings describe a cluster to be started
        given = [name for name in ("arguments", "training") if getattr(self, name)]
        given += ["adaptive"] if self.bounds else []
        if self.is_local and given:
            raise ValueError(
                f"cluster.{given[0]} is for a cluster class; name the class in cluster.kind"
            )
        counts = [n for n in ("cpu_workers", "training_workers") if getattr(self, n) is not None]
        if self.bounds and counts:
            raise ValueError(
                f"cluster.{counts[0]} fixes the number of workers and cluster.adaptive varies it; "
                "give only one of them"
            )
        return self

    @property
    def is_local(self) -> bool:
        """Whether a run starts the processes itself, on its own machine."""
        return self.address is None and self.kind == "local"

    @property
    def bounds(self) -> AdaptiveConfig | None:
        """Bounds of the number of workers, or None where it is fixed."""
        return self.adaptive if self.adaptive.maximum else None
