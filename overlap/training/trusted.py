"""What a saved network may hold: the classes that overlap builds networks of, and numbers.

Keras's safe mode refuses lambdas and what it knows to be dangerous; this refuses everything but
what is needed. Weights are HDF5, which can also name other files, whose content would be read as
weights, and sizes that no memory has.
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
"""What `overlap.training.network` makes, as Keras names it in a file."""
CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MEMBERS = {"metadata.json", CONFIG, WEIGHTS}
"""What Keras writes into the archive, uncompressed."""


def check_trusted(data: bytes, where: str) -> None:
    """Look through a saved network before Keras does.

    Args:
        data: Content of a `.keras` file.
        where: Its address, for the message.

    Raises:
        CorruptError: it is none, or holds what overlap never writes.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            found = archive.infolist()
            stored = all(member.compress_type == zipfile.ZIP_STORED for member in found)
            whole = sum(member.file_size for member in found) <= len(data)
            if {member.filename for member in found} != MEMBERS or not stored or not whole:
                raise CorruptError(f"{where}: is not a network as overlap saves it")
            strange = sorted({*_classes(json.loads(archive.read(CONFIG)))} - CLASSES)
            beyond = _beyond_numbers(archive.read(WEIGHTS))
    except (zipfile.BadZipFile, ValueError, OSError, RecursionError, RuntimeError) as error:
        raise CorruptError(f"{where}: is not a network as overlap saves it: {error}") from None
    if strange:
        raise CorruptError(
            f"{where}: names {', '.join(strange)}, which overlap builds no network of; not loaded"
        )
    if beyond:
        raise CorruptError(f"{where}: its weights {beyond}; not loaded")


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


def _beyond_numbers(data: bytes) -> str | None:
    """What of an HDF5 file is more than arrays of numbers that lie in it; None if nothing is."""
    with h5py.File(io.BytesIO(data), "r") as file:
        links: list[str] = []
        file.visititems_links(
            lambda name, link: None if isinstance(link, h5py.HardLink) else links.append(name)
        )
        if links:
            return f"refer to other places ({links[0]})"
        arrays: list[h5py.Dataset] = []
        file.visititems(
            lambda _name, item: arrays.append(item) if isinstance(item, h5py.Dataset) else None
        )
        if any(array.external or array.is_virtual for array in arrays):
            return "lie in other files"
        if any(array.dtype.kind not in "fiu" for array in arrays):
            return "are no numbers"
        if sum(array.nbytes for array in arrays) > len(data):
            return "claim to be larger than their file"
    return None
