"""Saves untrained networks: the time of a prediction does not depend on the weights."""

from typing import Any

from numpy.typing import NDArray

from overlap.bench.untrained_learner import constants
from overlap.config import NetworkConfig
from overlap.errors import BenchError
from overlap.io.location import Location
from overlap.training.inference.store import write_graph
from overlap.training.spec import MemberRecord


def save_untrained(
    folder: Location, config: NetworkConfig, shape: tuple[int, int, int], words: int, seed: int
) -> Any:  # noqa: ANN401  a Keras model
    """Build an untrained network and save it as that of a member.

    Args:
        folder: The folder of the member.
        config: The network.
        shape: (mel, frame, resolution) of its input.
        words: Number of words.
        seed: Seed of its weights.

    Returns:
        The network.
    """
    from overlap.training.keras_import import keras
    from overlap.training.network import build_network
    from overlap.training.saved import save_network

    keras.utils.set_random_seed(seed)
    network = build_network(config, shape, words, constants(shape[-1])).model
    save_network(network, folder)
    return network


def save_graph(
    folder: Location,
    record: MemberRecord,
    network: Any,  # noqa: ANN401  a Keras model
    decibels: NDArray[Any],
) -> None:
    """Write the inference graph of a saved network.

    Args:
        folder: The folder of the member.
        record: Its record, which has the digest of the network.
        network: The network.
        decibels: (clips, mel, frame, resolution) on which graph and network are compared.

    Raises:
        BenchError: No graph can be made of the network.
    """
    refused = write_graph(folder, record, network, decibels)
    if refused is not None:
        raise BenchError(f"no inference graph of the network: {refused}")
