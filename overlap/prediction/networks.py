"""Opens the networks of members in this process."""

from collections.abc import Sequence

from overlap.io.location import Location
from overlap.io.workspace_paths import WorkspacePaths
from overlap.training.inference.store import Predictor, stored_network, unusable_reason
from overlap.training.spec import MemberRecord


def open_networks(owner: Location, members: Sequence[MemberRecord]) -> Sequence[Predictor]:
    """Open the inference graphs of all members, or load all networks with Keras.

    Args:
        owner: The workspace of the members.
        members: Their records.

    Raises:
        CorruptError: A network is missing or damaged.
    """
    if unusable_reason() is None:
        folders = [WorkspacePaths(owner).member(one.fingerprint).folder for one in members]
        graphs = [stored_network(*one) for one in zip(folders, members, strict=True)]
        opened = [graph for graph in graphs if graph is not None]
        if len(opened) == len(members):
            return opened
    from overlap.training.saved import load_networks

    return load_networks(owner, members)
