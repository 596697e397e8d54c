"""The configuration of clusters: what belongs together, and the examples that come with it."""

from pathlib import Path

import pytest

from overlap.config import RunConfig
from overlap.config.loading import configure
from overlap.errors import ConfigError
from support.errors import raises

EXAMPLES = Path(__file__).resolve().parents[2] / "deployments" / "clusters"


def cluster(**settings) -> RunConfig:
    return configure({"data": "D", "cluster": settings})


def test_a_number_of_workers_is_fixed_or_adaptive() -> None:
    kind = {"kind": "distributed.LocalCluster"}
    assert cluster(**kind, adaptive={"maximum": 8}).cluster.adaptive.minimum == 0
    for named, settings in (
        (("minimum 9", "maximum 8"), {"adaptive": {"minimum": 9, "maximum": 8}}),
        (
            ("training_minimum 2", "training_maximum 1"),
            {"adaptive": {"maximum": 8, "training_minimum": 2}},
        ),
        (("cluster.cpu_workers",), {"adaptive": {"maximum": 8}, "cpu_workers": 4}),
        (("minimum 1", "maximum 0"), {"adaptive": {"minimum": 1}}),
    ):
        with raises(ConfigError, "invalid-value") as caught:
            cluster(**kind, **settings)
        assert all(name in str(caught.value) for name in named)
    assert cluster(**kind, cpu_workers=4).cluster.bounds is None


@pytest.mark.parametrize("given", [{"arguments": {"cores": 1}}, {"adaptive": {"maximum": 2}}])
def test_settings_of_a_class_need_one(given) -> None:
    with raises(ConfigError, "invalid-value", key="cluster") as caught:
        cluster(**given)
    assert f"cluster.{next(iter(given))}" in str(caught.value)
    assert cluster(**given, address="tcp://scheduler:8786").cluster.address


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.toml")), ids=lambda file: file.name)
def test_the_examples_name_options_that_exist(example: Path) -> None:
    config = configure({"data": "D"}, example).cluster
    assert config.kind in ("dask_jobqueue.SLURMCluster", "dask_kubernetes.operator.KubeCluster")
    assert config.arguments
    assert config.training


def test_there_are_examples() -> None:
    assert {file.stem for file in EXAMPLES.glob("*.toml")} == {"slurm", "kubernetes"}
