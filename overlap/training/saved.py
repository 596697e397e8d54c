"""Saves and loads the network of a member.

The content of a file is compared with its digest before Keras reads it, because a flipped bit in
the weights would give wrong predictions without an error.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import overlap.training.network  # noqa: F401  registers the layers that a saved network names
from overlap.io.location import Location
from overlap.io.workspace_paths import MODEL_FILE, MemberPaths, WorkspacePaths
from overlap.training.keras_import import keras
from overlap.training.spec import MemberRecord, read_member_file
from overlap.training.trusted import check_trusted


def save_network(network: keras.Model, folder: Location) -> None:
    """Write the network of a member."""
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / MODEL_FILE
        network.save(path)
        MemberPaths(folder).model.write_bytes(path.read_bytes())


def load_network(folder: Location, record: MemberRecord) -> keras.Model:
    """Load the network of a complete member; never runs code from the file.

    Raises:
        CorruptError: The file is missing, damaged, or contains more than overlap writes.
    """
    data = read_member_file(folder, record, MODEL_FILE)
    check_trusted(data, str(MemberPaths(folder).model))
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / MODEL_FILE
        path.write_bytes(data)
        return keras.saving.load_model(path, compile=False, safe_mode=True)


def load_networks(workspace: Location, records: Iterable[MemberRecord]) -> list[keras.Model]:
    """Load the networks of complete members of a workspace, in the order of their records.

    Raises:
        CorruptError: A file is missing, damaged, or contains more than overlap writes.
    """
    paths = WorkspacePaths(workspace)
    return [load_network(paths.member(one.fingerprint).folder, one) for one in records]
