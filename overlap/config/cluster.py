"""The configuration of the cluster: where the work is computed."""

from typing import Any, Self

from pydantic import Field, model_validator

from overlap.config.base import Address, ConfigModel


class AdaptiveConfig(ConfigModel):
    """How many workers a cluster has, as there is work for them."""

    minimum: int = Field(
        0, ge=0, le=4096, description="Workers that stay when there is nothing to do."
    )
    maximum: int = Field(0, ge=0, le=4096, description="Workers at most; 0: their number is fixed.")
    training_minimum: int = Field(
        0, ge=0, le=4096, description="Workers of cluster.training that stay."
    )
    training_maximum: int = Field(
        1, ge=1, le=4096, description="Workers of cluster.training at most."
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
    """Where the work is computed."""

    address: Address | None = Field(
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
    training: dict[str, Any] | None = Field(
        None,
        description="What is different for workers that train, where the class starts one kind "
        "only: options of a worker, or the arguments of its add_worker_group; none: all are alike.",
    )
    cpu_workers: int | None = Field(
        None, ge=1, le=4096, description="CPU workers; none: one per core (local cluster)."
    )
    training_workers: int | None = Field(
        None, ge=1, le=4096, description="Training workers; none: one per accelerator, at least 1."
    )
    adaptive: AdaptiveConfig = Field(
        default_factory=AdaptiveConfig,
        description="Workers of a cluster class that are started and stopped as there is work.",
    )
    members_per_gpu: int = Field(
        1,
        ge=1,
        le=16,
        description="Members that train side by side on one accelerator of the local cluster, each "
        "with its part of the memory. A worker of another cluster offers GPU=2, and two threads.",
    )
    features_on_gpu_workers: bool = Field(
        False,
        description="Workers that offer GPU compute features too; otherwise they do so only where "
        "there are no others.",
    )
    timeout_s: float = Field(
        30.0,
        gt=0,
        description="How long to wait for a scheduler, and for the workers that the work needs, "
        "seconds; as long as a queue of jobs may be.",
    )

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        if self.address is not None:
            return self  # the rest says what would be started without one
        given = [name for name in ("arguments", "training") if getattr(self, name)]
        given += ["adaptive"] if self.bounds else []
        if self.kind == "local" and given:
            raise ValueError(
                f"cluster.{given[0]} belongs to a cluster class: name it in cluster.kind"
            )
        counts = [n for n in ("cpu_workers", "training_workers") if getattr(self, n) is not None]
        if self.bounds and counts:
            raise ValueError(
                f"cluster.{counts[0]} is a fixed number, cluster.adaptive is not: give one of them"
            )
        return self

    @property
    def bounds(self) -> AdaptiveConfig | None:
        """Between which the number of workers moves; None where it is fixed."""
        return self.adaptive if self.adaptive.maximum else None
