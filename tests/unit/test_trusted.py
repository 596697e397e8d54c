"""Saved networks with content that overlap never writes are neither read nor run."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest

from overlap.config import NetworkConfig, Stage
from overlap.errors import CorruptError
from overlap.features import Normalisation
from overlap.io.location import Location
from overlap.io.workspace_paths import MODEL_FILE
from overlap.training.network import POLICIES, build_network, precision
from overlap.training.saved import load_network, save_network
from overlap.training.trusted import CONFIG, WEIGHTS, check_trusted
from support.errors import raises

CONSTANTS = Normalisation((-60.0,), (-30.0,), (10.0,))
MARK = "planted"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a saved network."""
    folder = tmp_path_factory.mktemp("saved")
    config = NetworkConfig(stages=(Stage(kind="plain", filters=4),), dense=8)
    save_network(build_network(config, (8, 9, 1), 3, CONSTANTS).model, Location(str(folder)))
    return (folder / MODEL_FILE).read_bytes()


def changed(saved: bytes, name: str, change: Callable[[bytes], bytes], how: int = 0) -> bytes:
    """Return the archive with other content in one of its files."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved)) as old, zipfile.ZipFile(made, "w", how) as new:
        for member in old.namelist():
            content = old.read(member)
            new.writestr(member, change(content) if member == name else content)
    return made.getvalue()


def with_layer(layer: dict[str, Any]) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        config = json.loads(content)
        config["config"]["layers"][1] |= layer
        return json.dumps(config).encode()

    return change


def with_weights(change: Callable[[h5py.File], object]) -> Callable[[bytes], bytes]:
    def changed_file(content: bytes) -> bytes:
        buffer = io.BytesIO(content)
        with h5py.File(buffer, "r+") as file:
            change(file)
        return buffer.getvalue()

    return changed_file


def loaded(data: bytes, folder: Path) -> object:
    """Load a network with a record that confirms its digest."""
    location = Location(str(folder))
    (location / MODEL_FILE).write_bytes(data)
    record = SimpleNamespace(files={MODEL_FILE: (location / MODEL_FILE).digest()})
    return load_network(location, record)


@pytest.mark.parametrize("policy", [*POLICIES])
@pytest.mark.parametrize(("subset", "pool"), [(None, (1, 1)), (2, (2, 2))])
def test_every_network_can_be_loaded(
    policy: str, subset: int | None, pool: tuple[int, int], tmp_path: Path
) -> None:
    stages = (Stage(kind="plain", filters=4), Stage(kind="bottleneck", filters=8))
    config = NetworkConfig(stages=stages, dense=8, input_pool=pool)
    with precision(policy):
        network = build_network(config, (16, 16, 1), 5, CONSTANTS, subset).model
    save_network(network, Location(str(tmp_path)))
    data = (tmp_path / MODEL_FILE).read_bytes()
    check_trusted(data, "x")
    found = loaded(data, tmp_path)
    for expected, loaded_weights in zip(network.get_weights(), found.get_weights(), strict=True):
        assert np.array_equal(expected, loaded_weights)


@pytest.mark.parametrize(
    ("layer", "named"),
    [
        ({"module": "keras.layers", "class_name": "Lambda"}, "keras.layers.Lambda"),
        (
            {"module": "keras.layers", "class_name": "TorchModuleWrapper"},
            "keras.layers.TorchModuleWrapper",
        ),
        ({"module": "keras.utils", "class_name": "get_file"}, "keras.utils.get_file"),
        ({"module": "subprocess", "class_name": "Popen"}, "subprocess.Popen"),
        ({"build_config": {"class_name": "__lambda__"}}, "__lambda__"),
        (
            {"config": {"activation": {"module": "builtins", "class_name": "function"}}},
            "builtins.function",
        ),
    ],
)
def test_other_classes_are_refused(
    saved: bytes, tmp_path: Path, layer: dict[str, Any], named: str
) -> None:
    with raises(CorruptError, "untrusted-classes", path=str(tmp_path / MODEL_FILE)) as caught:
        loaded(changed(saved, CONFIG, with_layer(layer)), tmp_path)
    assert named in caught.value.fields["classes"]


def _external_link(file: h5py.File) -> None:
    file["out"] = h5py.ExternalLink("/etc/hostname", "/")


def _soft_link(file: h5py.File) -> None:
    file["again"] = h5py.SoftLink("/layers")


def _external_data(file: h5py.File) -> None:
    file.create_dataset("out", (4,), "u1", external=[("/etc/hostname", 0, 4)])


def _virtual_data(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "u1")
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", (4,))
    file.create_virtual_dataset("out", layout)


def _text(file: h5py.File) -> None:
    file["text"] = "words"


def _huge(file: h5py.File) -> None:
    file.create_dataset("huge", (1 << 40,), "f4", chunks=(1024,))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (_external_link, "contain the link out"),
        (_soft_link, "contain the link again"),
        (_external_data, "are stored in other files"),
        (_virtual_data, "are stored in other files"),
        (_text, "are not numbers"),
        (_huge, "are declared larger than their file"),
    ],
)
def test_weights_must_be_numbers_in_the_file(
    saved: bytes, tmp_path: Path, change: Callable[[h5py.File], None], fault: str
) -> None:
    with raises(CorruptError, "untrusted-weights", fault=fault):
        loaded(changed(saved, WEIGHTS, with_weights(change)), tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda saved: saved[:0],
        lambda saved: saved[:1000],
        lambda saved: changed(saved, CONFIG, lambda _: b"[" * 100_000),
        lambda saved: changed(saved, CONFIG, lambda _: b"\xff"),
        lambda saved: changed(saved, WEIGHTS, lambda _: b"no HDF5"),
        lambda saved: changed(saved, WEIGHTS, lambda w: w + bytes(1 << 20), zipfile.ZIP_DEFLATED),
    ],
    ids=["empty", "truncated", "deep", "no text", "no HDF5", "compressed"],
)
def test_other_files_are_refused(
    saved: bytes, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    with raises(CorruptError, "not-a-network", path=str(tmp_path / MODEL_FILE)):
        loaded(damage(saved), tmp_path)


def test_a_fourth_file_in_the_archive_is_refused(saved: bytes, tmp_path: Path) -> None:
    made = io.BytesIO(saved)
    with zipfile.ZipFile(made, "a") as archive:
        archive.writestr(f"../{MARK}", MARK)
    with raises(CorruptError, "not-a-network", path=str(tmp_path / MODEL_FILE)):
        loaded(made.getvalue(), tmp_path)
    assert [*tmp_path.parent.glob(MARK)] == []
