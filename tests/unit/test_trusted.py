"""Saved networks that hold more than overlap writes: none of it is read, or run."""

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

CONSTANTS = Normalisation((-60.0,), (-30.0,), (10.0,))
MARK = "planted"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A network as a member keeps it."""
    folder = tmp_path_factory.mktemp("saved")
    config = NetworkConfig(stages=(Stage(kind="plain", filters=4),), dense=8)
    save_network(build_network(config, (8, 9, 1), 3, CONSTANTS), Location(str(folder)))
    return (folder / MODEL_FILE).read_bytes()


def changed(saved: bytes, name: str, change: Callable[[bytes], bytes], how: int = 0) -> bytes:
    """The archive with another content of one member."""
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
    """Load it with a record that says it is what was written."""
    location = Location(str(folder))
    (location / MODEL_FILE).write_bytes(data)
    record = SimpleNamespace(files={MODEL_FILE: (location / MODEL_FILE).digest()})
    return load_network(location, record)


@pytest.mark.parametrize("policy", [*POLICIES])
@pytest.mark.parametrize(("subset", "pool"), [(None, (1, 1)), (2, (2, 2))])
def test_every_network_that_is_built_is_loaded(
    policy: str, subset: int | None, pool: tuple[int, int], tmp_path: Path
) -> None:
    stages = (Stage(kind="plain", filters=4), Stage(kind="bottleneck", filters=8))
    config = NetworkConfig(stages=stages, dense=8, input_pool=pool)
    with precision(policy):
        network = build_network(config, (16, 16, 1), 5, CONSTANTS, subset)
    save_network(network, Location(str(tmp_path)))
    data = (tmp_path / MODEL_FILE).read_bytes()
    check_trusted(data, "x")
    found = loaded(data, tmp_path)
    for ours, theirs in zip(network.get_weights(), found.get_weights(), strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("layer", "named"),
    [
        ({"module": "keras.layers", "class_name": "Lambda"}, "keras.layers.Lambda"),
        ({"module": "keras.layers", "class_name": "TorchModuleWrapper"}, "TorchModuleWrapper"),
        ({"module": "keras.utils", "class_name": "get_file"}, "keras.utils.get_file"),
        ({"module": "subprocess", "class_name": "Popen"}, "subprocess.Popen"),
        ({"build_config": {"class_name": "__lambda__"}}, "__lambda__"),
        ({"config": {"activation": {"module": "builtins", "class_name": "function"}}}, "function"),
    ],
)
def test_a_class_that_no_network_needs_is_refused(
    saved: bytes, tmp_path: Path, layer: dict[str, Any], named: str
) -> None:
    with pytest.raises(CorruptError, match=rf"names .*{named}, which overlap builds no network"):
        loaded(changed(saved, CONFIG, with_layer(layer)), tmp_path)


def _links_elsewhere(file: h5py.File) -> None:
    file["out"] = h5py.ExternalLink("/etc/hostname", "/")


def _links_inside(file: h5py.File) -> None:
    file["again"] = h5py.SoftLink("/layers")


def _lies_elsewhere(file: h5py.File) -> None:
    file.create_dataset("out", (4,), "u1", external=[("/etc/hostname", 0, 4)])


def _is_virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "u1")
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", (4,))
    file.create_virtual_dataset("out", layout)


def _is_text(file: h5py.File) -> None:
    file["text"] = "words"


def _is_huge(file: h5py.File) -> None:
    file.create_dataset("huge", (1 << 40,), "f4", chunks=(1024,))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_links_elsewhere, r"refer to other places \(out\)"),
        (_links_inside, r"refer to other places \(again\)"),
        (_lies_elsewhere, "lie in other files"),
        (_is_virtual, "lie in other files"),
        (_is_text, "are no numbers"),
        (_is_huge, "claim to be larger than their file"),
    ],
)
def test_weights_are_numbers_of_this_file(
    saved: bytes, tmp_path: Path, change: Callable[[h5py.File], None], said: str
) -> None:
    with pytest.raises(CorruptError, match=f"its weights {said}; not loaded"):
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
    ids=["empty", "cut off", "deep", "no text", "no HDF5", "packed"],
)
def test_what_is_no_saved_network_is_refused(
    saved: bytes, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(CorruptError, match="is not a network as overlap saves it"):
        loaded(damage(saved), tmp_path)


def test_a_file_beside_the_three_is_refused(saved: bytes, tmp_path: Path) -> None:
    made = io.BytesIO(saved)
    with zipfile.ZipFile(made, "a") as archive:
        archive.writestr(f"../{MARK}", MARK)
    with pytest.raises(CorruptError, match="is not a network as overlap saves it"):
        loaded(made.getvalue(), tmp_path)
    assert [*tmp_path.parent.glob(MARK)] == []
