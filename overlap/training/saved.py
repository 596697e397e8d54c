"""The network of a complete member.

What was read is compared with its digest before Keras sees it: a flipped bit in the weights would
be a wrong number that nobody sees.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import keras

import overlap.training.network  # noqa: F401  registers the layers that a saved network names
from overlap.io.location import Location
from overlap.io.workspace_paths import MODEL_FILE, MemberPaths, WorkspacePaths
from overlap.training.spec import MemberRecord, read_kept
from overlap.training.trusted import check_trusted


def save_network(network: keras.Model, folder: Location) -> None:
    """Write the network of a member."""
    with tempfile.TemporaryDirectory() as near:
        path = Path(near) / MODEL_FILE
        network.save(path)
        MemberPaths(folder).model.write_bytes(path.read_bytes())


def load_network(folder: Location, record: MemberRecord) -> keras.Model:
    """The network of a complete member; never runs code from the file.

    Raises:
        CorruptError: it is not what was written, or names what overlap builds no network of.
    """
    data = read_kept(folder, record, MODEL_FILE)
    check_trusted(data, str(MemberPaths(folder).model))
    with tempfile.TemporaryDirectory() as near:
        path = Path(near) / MODEL_FILE
        path.write_bytes(data)
        return keras.saving.load_model(path, compile=False, safe_mode=True)


def load_networks(workspace: Location, records: Iterable[MemberRecord]) -> list[keras.Model]:
    """The networks of complete members of a workspace, in the order of their records.

    Raises:
        CorruptError: one is not what was written, or names what overlap builds no network of.
    """
    paths = WorkspacePaths(workspace)
    return [load_network(paths.member(one.fingerprint).folder, one) for one in records]
