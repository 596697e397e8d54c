"""Inference graphs: equal to the network, and never used for another one."""

from itertools import combinations

import keras
import numpy as np
import pytest

from overlap.config import NetworkConfig, Stage
from overlap.errors import CorruptError
from overlap.features import Normalisation
from overlap.io.location import Location
from overlap.io.records import Record
from overlap.io.workspace_paths import MODEL_FILE, MemberPaths
from overlap.training.inference.graph import UnsupportedNetworkError, build_graph
from overlap.training.inference.shares import shares
from overlap.training.inference.store import (
    GraphNetwork,
    GraphRecord,
    stored_network,
    write_graph,
)
from overlap.training.network import build_network, precision
from overlap.training.saved import save_network
from overlap.training.spec import MemberRecord

STAGES = (Stage(kind="plain", filters=4), Stage(kind="bottleneck", filters=16))
CONSTANTS = Normalisation((-60.0, -50.0), (-30.0, -20.0), (10.0, 5.0))
SHAPE = (16, 21, 2)
AGREEMENT = 1e-6
"""Of float32 networks whose predictions are not extreme; `store.TOLERANCE` is for all."""


def network_of(
    subset: int | None = None,
    pool: tuple[int, int] = (1, 1),
    kind: str = "float32",
    seed: int = 1,
) -> keras.Model:
    """Return a network whose batch statistics are those of no initial network.

    The weights are the same in every run: predictions that are extreme by chance differ by more.
    """
    keras.utils.set_random_seed(seed)
    config = NetworkConfig(stages=STAGES, dense=8, input_pool=pool)
    with precision(kind):
        network = build_network(config, SHAPE, 6, CONSTANTS, subset).model
    random = np.random.default_rng(1)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            size = layer.gamma.shape
            layer.set_weights([random.uniform(0.5, 1.5, size) for _ in range(4)])
    words = network.get_layer("words")
    words.set_weights([0.05 * array for array in words.get_weights()])  # no extreme scores
    return network


def decibels(clips: int = 9) -> np.ndarray:
    return np.random.default_rng(2).uniform(-80, 0, (clips, *SHAPE)).astype(np.float16)


def saved(network: keras.Model, folder: Location) -> MemberRecord:
    """Save a network, and return as much of a record as a graph needs."""
    save_network(network, folder)
    digest = MemberPaths(folder).model.digest()
    return MemberRecord.model_construct(fingerprint="m", files={MODEL_FILE: str(digest)})


@pytest.fixture
def folder(workspace: Location) -> Location:
    """The folder of a member."""
    return workspace / "members" / "m"


@pytest.mark.parametrize("subset", [None, 1, 3])
@pytest.mark.parametrize("pool", [(1, 1), (2, 4)])
def test_the_graph_predicts_as_the_network(
    folder: Location, subset: int | None, pool: tuple[int, int]
) -> None:
    network, clips = network_of(subset, pool), decibels()
    record = saved(network, folder)
    assert write_graph(folder, record, network, clips) is None
    found = stored_network(folder, record)
    assert found is not None
    expected = np.asarray(network.predict_on_batch(clips), np.float64)
    assert np.abs(found.predict_on_batch(clips) - expected).max() < AGREEMENT
    assert np.array_equal(found.predict_on_batch(clips)[:2], found.predict_on_batch(clips[:2]))


def test_a_network_of_another_precision_has_no_graph(folder: Location) -> None:
    network = network_of(kind="bfloat16")
    record = saved(network, folder)
    assert "mixed_bfloat16" in str(write_graph(folder, record, network, decibels()))
    assert stored_network(folder, record) is None


def test_a_layer_of_another_kind_has_no_graph(folder: Location) -> None:
    source = keras.Input(SHAPE, dtype="float16")
    scores = keras.layers.Dense(3)(keras.layers.GlobalMaxPooling2D()(source))
    save_network(keras.Model(source, keras.layers.Softmax()(scores)), folder)
    with pytest.raises(UnsupportedNetworkError):
        build_graph(MemberPaths(folder).model.read_bytes())


def test_a_graph_that_differs_is_not_written(folder: Location) -> None:
    network, other = network_of(), network_of(seed=2)
    record = saved(network, folder)
    assert "differs" in str(write_graph(folder, record, other, decibels()))
    assert "no clip" in str(write_graph(folder, record, network, decibels(0)))
    assert stored_network(folder, record) is None


@pytest.mark.parametrize("damage", ["graph", "record", "other network", "no record"])
def test_a_graph_that_cannot_be_trusted_is_not_used(folder: Location, damage: str) -> None:
    network, clips = network_of(), decibels()
    record, paths = saved(network, folder), MemberPaths(folder)
    assert write_graph(folder, record, network, clips) is None
    if damage == "graph":
        content = bytearray(paths.graph.read_bytes())
        content[len(content) // 2] ^= 1
        paths.graph.write_bytes(bytes(content))
    elif damage == "record":
        paths.graph_record.write_bytes(b"{}")
    elif damage == "no record":
        paths.graph_record.remove()
    else:
        record = saved(network_of(), folder)
    assert stored_network(folder, record) is None


def test_a_damaged_network_is_an_error_with_a_graph_too(folder: Location) -> None:
    network = network_of()
    record = saved(network, folder)
    assert write_graph(folder, record, network, decibels()) is None
    MemberPaths(folder).model.write_bytes(b"damaged")
    with pytest.raises(CorruptError):
        stored_network(folder, record)


@pytest.mark.parametrize(("words", "k"), [(1, 1), (3, 3), (5, 2), (8, 4), (9, 4), (11, 3)])
def test_shares_match_the_enumeration_of_all_sets(words: int, k: int) -> None:
    scores = np.random.default_rng(0).normal(0, 3, (6, words)).astype(np.float32)
    sets = [*combinations(range(words), k)]
    weights = np.exp([[row[list(one)].astype(float).sum() for one in sets] for row in scores])
    inside = np.array([[word in one for word in range(words)] for one in sets], float)
    expected = weights @ inside / weights.sum(axis=1, keepdims=True) / k
    assert np.abs(shares(scores, k) - expected).max() < 1e-12


def test_extreme_scores_have_shares() -> None:
    scores = np.array([[1e4, -1e4, 0, 0]], np.float32)
    assert shares(scores, None).tolist() == [[1, 0, 0, 0]]
    assert shares(scores, 2).round(12).tolist() == [[0.5, 0, 0.25, 0.25]]


def test_every_thread_count_gives_the_same_predictions(
    folder: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, clips = network_of(), decibels()
    save_network(network, folder)
    graph = build_graph(MemberPaths(folder).model.read_bytes())
    found = []
    for threads in (1, 3):
        monkeypatch.setattr(
            "overlap.training.inference.store.share_of_processors", lambda number=threads: number
        )
        found.append(GraphNetwork(graph.content, graph.subset, 32).predict_on_batch(clips))
    assert np.abs(found[0] - found[1]).max() < AGREEMENT


def test_a_graph_computes_as_many_clips_at_once_as_the_cache_holds(folder: Location) -> None:
    """The largest layer of this network has 16 x 21 values in 4 channels, 5 kB per clip."""
    saved(network_of(), folder)
    graph = build_graph(MemberPaths(folder).model.read_bytes())
    assert graph.clips_at_once == 32
    wide = build_network(
        NetworkConfig(), (64, 101, 4), 30, Normalisation(*([(0.0,) * 4] * 3))
    ).model
    saved(wide, folder)
    assert build_graph(MemberPaths(folder).model.read_bytes()).clips_at_once == 5


def test_predictions_do_not_depend_on_the_clips_at_once(folder: Location) -> None:
    saved(network_of(), folder)
    graph = build_graph(MemberPaths(folder).model.read_bytes())
    clips = decibels(37)
    results = [
        GraphNetwork(graph.content, graph.subset, size).predict_on_batch(clips)
        for size in (1, 5, 32)
    ]
    assert all(np.allclose(found, results[0], rtol=0, atol=1e-7) for found in results)


class EarlierGraphRecord(Record):
    """The record of a graph before it stated the clips at once."""

    network: str
    graph: str
    subset: int | None
    difference: float
    clips: int


def test_a_record_of_an_earlier_release_means_32_clips_at_once(folder: Location) -> None:
    network = network_of()
    record = saved(network, folder)
    assert write_graph(folder, record, network, decibels()) is None
    place = MemberPaths(folder).graph_record
    known = place.read_record(GraphRecord).model_dump()
    fields = {name: known[name] for name in EarlierGraphRecord.model_fields if name in known}
    place.write_record(EarlierGraphRecord(**fields))
    assert "clips_at_once" not in place.read_json()
    assert place.read_record(GraphRecord).clips_at_once == 32
    found = stored_network(folder, record)
    assert found is not None
    expected = network.predict_on_batch(decibels())
    assert np.allclose(found.predict_on_batch(decibels()), expected, atol=AGREEMENT)
