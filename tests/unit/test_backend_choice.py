"""The choice of Keras's backend: setting, variable, accelerator; and that of a resumed training."""

from pathlib import Path

import numpy as np
import pytest

from overlap.errors import ConfigError
from overlap.io.location import Location
from overlap.io.workspace_paths import MemberPaths
from overlap.system.resources.framework_devices import accelerator_fault
from overlap.training.backends import choice
from overlap.training.backends.choice import check_backend, named_backend, select_backend
from overlap.training.backends.resumed import backend_of_training
from support.errors import raises

SMI = "#!/bin/sh\necho '0, GPU-aaaa'\n"


@pytest.fixture
def accelerator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that reports one accelerator; no framework here can use it."""
    smi = tmp_path / "nvidia-smi"
    smi.write_text(SMI)
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("KERAS_BACKEND", raising=False)


@pytest.mark.parametrize(
    ("wanted", "variable", "named"),
    [
        ("auto", None, ""),
        ("auto", "", ""),
        ("auto", "torch", "torch"),
        ("jax", None, "jax"),
        ("jax", "torch", "jax"),
    ],
)
def test_the_setting_comes_before_the_variable(
    monkeypatch: pytest.MonkeyPatch, wanted: str, variable: str | None, named: str
) -> None:
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    if variable is not None:
        monkeypatch.setenv("KERAS_BACKEND", variable)
    assert named_backend(wanted) == named


def test_without_an_accelerator_tensorflow_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    assert select_backend() == "tensorflow"
    assert select_backend("jax") == "jax"
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert select_backend() == "jax"


def test_a_setting_that_cannot_train_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "find_spec", lambda _name: None)
    with raises(ConfigError, "backend-not-installed", backend="jax", field="training.backend"):
        check_backend("jax")
    check_backend("jax", installed=False)  # other machines train


@pytest.mark.usefixtures("accelerator")
@pytest.mark.parametrize(
    ("installed", "usable", "chosen"),
    [
        ({"jax", "jax_cuda12_plugin"}, {"jax", "tensorflow"}, "jax"),
        ({"jax", "jax_cuda13_plugin"}, {"jax"}, "jax"),
        ({"jax", "jax_cuda12_plugin"}, {"tensorflow"}, "tensorflow"),
        ({"jax"}, {"tensorflow"}, "tensorflow"),
        (set(), {"tensorflow"}, "tensorflow"),
    ],
)
def test_the_fastest_usable_backend_trains_on_an_accelerator(
    monkeypatch: pytest.MonkeyPatch, installed: set[str], usable: set[str], chosen: str
) -> None:
    """What is installed, and what can use the accelerator, is given; the choice is not."""
    there = installed | {"tensorflow"}
    monkeypatch.setattr(choice, "find_spec", lambda name: name if name in there else None)
    monkeypatch.setattr(
        choice, "accelerator_fault", lambda name: "" if name in usable else "it finds none"
    )
    assert select_backend() == chosen


@pytest.mark.extended
@pytest.mark.usefixtures("accelerator")
@pytest.mark.parametrize("wanted", ["auto", "tensorflow", "jax"])
def test_an_accelerator_that_no_backend_uses_is_refused(wanted: str) -> None:
    """The frameworks themselves report that they see none."""
    backend = "tensorflow" if wanted == "auto" else wanted
    fields = {"accelerators": 1, "backends": [backend], "field": "training.backend"}
    with raises(ConfigError, "accelerator-unused", **fields):
        select_backend(wanted)


@pytest.mark.extended
def test_a_framework_that_cannot_be_imported_is_a_fault() -> None:
    assert "unknown" in accelerator_fault("unknown")


def test_the_backend_of_a_training_is_read_from_its_checkpoint(tmp_path: Path) -> None:
    folder = Location(str(tmp_path))
    assert backend_of_training(folder) is None
    checkpoint = MemberPaths(folder).checkpoint
    for content, backend in (
        (b'{"backend": "jax", "later": 1}', "jax"),
        (b'{"history": []}', None),  # of an earlier release
        (b"[]", None),
        (b"{", None),
    ):
        checkpoint.write_arrays({"about": np.frombuffer(content, np.uint8), "v0": np.zeros(3)})
        assert backend_of_training(folder) == backend
    for damaged in (b"", b"PK\x03\x04", checkpoint.read_bytes()[:-30]):
        checkpoint.write_bytes(damaged)
        assert backend_of_training(folder) is None
