"""Checks that a saved network contains only the classes that overlap uses, and numbers.

The safe mode of Keras rejects lambdas and other known dangers; this module rejects everything that
is not needed. Weights are HDF5, a format that can refer to other files, whose content would be
read as weights, and can declare sizes beyond any memory.
"""

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import h5py

from overlap.errors import CorruptError

CLASSES = frozenset(
    {
        "keras.DTypePolicy",
        "keras.initializers.HeNormal",
        "keras.initializers.Ones",
        "keras.initializers.Zeros",
        "keras.layers.Activation",
        "keras.layers.Add",
        "keras.layers.AveragePooling2D",
        "keras.layers.BatchNormalization",
        "keras.layers.Conv2D",
        "keras.layers.Dense",
        "keras.layers.Dropout",
        "keras.layers.Flatten",
        "keras.layers.InputLayer",
        "keras.layers.Softmax",
        "keras.src.models.functional.Functional",
        "overlap.training.layers.Normalise",
        "overlap.training.subset.SubsetShares",
        "__keras_tensor__",
    }
)
"""The classes of `overlap.training.network`, as Keras names them in a file."""
CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MEMBERS = {"metadata.json", CONFIG, WEIGHTS}
"""The files that Keras writes into the archive, uncompressed."""


def check_trusted(data: bytes, where: str) -> None:
    """Check a saved network before Keras reads it.

    Args:
        data: Content of a `.keras` file.
        where: Address of the file, for the message.

    Raises:
        CorruptError: The file is not a saved network (code `not-a-network`), names other classes
            (`untrusted-classes`), or its weights are more than arrays of numbers
            (`untrusted-weights`).
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
            fits = sum(member.file_size for member in members) <= len(data)
            if {member.filename for member in members} != MEMBERS or not stored or not fits:
                raise _not_a_network(where, "its files are not those that overlap writes")
            classes = sorted({*_classes(json.loads(archive.read(CONFIG)))} - CLASSES)
            fault = _weights_fault(archive.read(WEIGHTS))
    except CorruptError:
        raise
    except (zipfile.BadZipFile, ValueError, OSError, RecursionError, RuntimeError) as error:
        raise _not_a_network(where, str(error)) from None
    if classes:
        raise CorruptError(
            f"{where}: the network uses classes that overlap never saves: {', '.join(classes)}; "
            "it is not loaded",
            code="untrusted-classes", path=where, classes=classes,
        )  # fmt: skip
    if fault:
        raise CorruptError(
            f"{where}: the weights {fault}; they are not loaded",
            code="untrusted-weights", path=where, fault=fault,
        )  # fmt: skip


def _not_a_network(where: str, reason: str) -> CorruptError:
    return CorruptError(
        f"{where}: not a network saved by overlap: {reason}", code="not-a-network", path=where
    )


def _classes(node: Any) -> Iterator[str]:  # noqa: ANN401  JSON
    if isinstance(node, dict):
        if "class_name" in node:
            module = node.get("module")
            yield f"{module}.{node['class_name']}" if module else str(node["class_name"])
        for value in node.values():
            yield from _classes(value)
    elif isinstance(node, list):
        for value in node:
            yield from _classes(value)


def _weights_fault(data: bytes) -> str | None:
    """Return what an HDF5 file contains beyond its own arrays of numbers; None if nothing."""
    with h5py.File(io.BytesIO(data), "r") as file:
        links: list[str] = []
        file.visititems_links(
            lambda name, link: None if isinstance(link, h5py.HardLink) else links.append(name)
        )
        if links:
            return f"contain the link {links[0]}"
        arrays: list[h5py.Dataset] = []
        file.visititems(
            lambda _name, item: arrays.append(item) if isinstance(item, h5py.Dataset) else None
        )
        if any(array.external or array.is_virtual for array in arrays):
            return "are stored in other files"
        if any(array.dtype.kind not in "fiu" for array in arrays):
            return "are not numbers"
        if sum(array.nbytes for array in arrays) > len(data):
            return "are declared larger than their file"
    return None
