"""Applies an ensemble to files: `python -m overlap.prediction.worker JOB`.

JOB is a file with a `PredictionJob`. The networks are loaded once and predict batch by batch,
while a thread computes the features of the next batch. The work has its own process for the
reasons given in `overlap.training.member`.

On a processor, members predict with their inference graphs (`overlap.training.inference`): Keras
and its backend are not imported, which takes ten times as long as the prediction of a hundred
clips. A member without a graph predicts with Keras, and gets its graph for the next time.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from overlap.audio.decode import Clip
from overlap.ensemble.registry import load_ensemble
from overlap.errors import AudioError
from overlap.io.location import Location
from overlap.io.workspace_paths import EnsemblePaths, WorkspacePaths
from overlap.metrics.disagreement import disagreement
from overlap.prediction.batches import Batch, OnDecoded, batches
from overlap.prediction.jobs import PredictionChunk, PredictionJob
from overlap.system.child_process import Emit, child_main
from overlap.system.prefetch import Prefetcher
from overlap.training.inference.store import (
    COMPARED_CLIPS,
    Predictor,
    stored_network,
    unusable_reason,
    write_graph,
)
from overlap.training.spec import MemberRecord, records_of


def predict_files(
    job: PredictionJob,
    networks: Sequence[Predictor],
    pool: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    words: int,
    emit: Emit,
) -> PredictionChunk:
    """Predict files; unusable files have a reason instead of a prediction.

    Args:
        job: The files.
        networks: The members' networks, from decibels to probabilities.
        pool: (members, clips, words) to (clips, words).
        words: Number of words.
        emit: Receives the number of finished files after every batch.
    """

    def make(on_decoded: OnDecoded) -> Iterator[Batch]:
        return batches(Location(job.data), job.files, job.features, on_decoded)

    return predict_batches(make, (len(job.files), words), networks, pool, emit)


def predict_batches(
    make: Callable[[OnDecoded], Iterator[Batch]],
    shape: tuple[int, int],
    networks: Sequence[Predictor],
    pool: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    emit: Emit,
) -> PredictionChunk:
    """Predict batches of clips; the next batch is made while one is predicted.

    Args:
        make: Makes the batches, given the receiver of every clip or error.
        shape: Number of clips, including unusable ones, and of words.
        networks: The members' networks, from decibels to probabilities.
        pool: (members, clips, words) to (clips, words).
        emit: Receives the number of finished clips after every batch.
    """
    count, _ = shape
    probabilities = np.full(shape, np.nan, np.float32)
    spread = np.full(count, np.nan, np.float32)
    reasons, repairs, clipped = [""] * count, [""] * count, np.zeros(count, np.bool_)

    def on_decoded(index: int, clip: Clip | AudioError) -> None:
        if isinstance(clip, AudioError):
            reasons[index] = str(clip)
        else:
            repairs[index], clipped[index] = " ".join(clip.repairs), clip.clipped

    with Prefetcher(make(on_decoded)) as batches:
        for batch in batches:
            rows = batch.indices
            probabilities[rows], spread[rows] = predict_decibels(
                networks, pool, batch.decibels, len(rows)
            )
            emit({"event": "clips", "done": int(rows[-1]) + 1})
    emit({"event": "clips", "done": count})
    return PredictionChunk(probabilities, spread, np.array(reasons), np.array(repairs), clipped)


def predict_decibels(
    networks: Sequence[Predictor],
    pool: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    decibels: NDArray[np.float16],
    count: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the pooled probabilities of some clips, and the members' disagreement.

    Args:
        networks: The members' networks, from decibels to probabilities.
        pool: (members, clips, words) to (clips, words).
        decibels: (batch, mel, frame, resolution), of which the first rows are clips.
        count: Number of clips.

    Returns:
        (clips, words) probabilities and (clips,) nats.
    """
    predictions = [network.predict_on_batch(decibels) for network in networks]
    members = np.asarray(predictions, np.float64)[:, :count]
    pooled = pool(members)
    return pooled, disagreement(members, pooled)


def apply_ensemble(job: PredictionJob, emit: Emit) -> None:
    """Run a job; its chunk is written atomically at the end."""
    location = Location(job.ensemble)
    record, owner = load_ensemble(location), EnsemblePaths.of_record(location).workspace
    members = records_of(owner, job.members)
    networks = member_networks(owner, members, job, emit)
    chunk = predict_files(job, networks, job.pool, len(record.words), emit)
    chunk.write(Location(job.out))


def member_networks(
    owner: Location, members: Sequence[MemberRecord], job: PredictionJob, emit: Emit
) -> list[Predictor]:
    """Return the networks of some members, as graphs where that is possible.

    Args:
        owner: The workspace of the members.
        members: Their records.
        job: The clips; a new graph is compared with its network on the first of them.
        emit: Receives a note if Keras is needed.

    Raises:
        CorruptError: A network is missing or damaged.
    """
    folders = [WorkspacePaths(owner).member(one.fingerprint).folder for one in members]
    reason = unusable_reason()
    graphs: list[Predictor | None] = [None] * len(members)
    if reason is None:
        graphs = [stored_network(*one) for one in zip(folders, members, strict=True)]
        absent = sum(graph is None for graph in graphs)
        if absent:
            reason = f"{absent} of {len(members)} members have no inference graph yet"
    if reason is None:
        return [graph for graph in graphs if graph is not None]
    emit({"event": "note", "text": f"Keras predicts, which starts more slowly: {reason}"})
    from overlap.training.device import prepare_device
    from overlap.training.saved import load_network

    prepare_device()
    networks: list[Predictor] = []
    for folder, member, graph in zip(folders, members, graphs, strict=True):
        networks.append(graph or load_network(folder, member))
        if graph is None and unusable_reason() is None:
            _write_graph(folder, member, networks[-1], job, emit)
    return networks


def _write_graph(
    folder: Location, member: MemberRecord, network: Predictor, job: PredictionJob, emit: Emit
) -> None:
    """Write a graph for later predictions; this one does not depend on it."""
    some = batches(
        Location(job.data), job.files[:COMPARED_CLIPS], job.features, lambda _index, _clip: None
    )
    first = next(some, None)
    if first is None:
        return
    try:
        refused = write_graph(folder, member, network, first.decibels[: len(first.indices)])
    except OSError as error:
        refused = str(error)
    if refused:
        text = f"member {member.fingerprint} has no inference graph: {refused}"
        emit({"event": "note", "text": text})


def main() -> int:
    """Run the job named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", type=Location.of)
    job = parser.parse_args().job.read_record(PredictionJob)
    return child_main(lambda emit: apply_ensemble(job, emit))


if __name__ == "__main__":
    sys.exit(main())
