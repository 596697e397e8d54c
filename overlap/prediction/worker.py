"""An ensemble applied to files: `python -m overlap.prediction.worker JOB`.

JOB is a file that holds a `PredictionJob`. The networks are loaded once; the clips go through them
batch by batch, while a thread makes the features of the next batch. In a process of its own, for
the reasons given in `overlap.training.member`.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from overlap.audio.decode import Clip
from overlap.ensemble.registry import load_ensemble
from overlap.errors import AudioError
from overlap.io.location import Location
from overlap.io.workspace_paths import EnsemblePaths
from overlap.metrics.disagreement import disagreement
from overlap.prediction.batches import Batch, OnDecoded, batches
from overlap.prediction.jobs import PredictionChunk, PredictionJob
from overlap.system.prefetch import Prefetcher
from overlap.system.worker_process import child_main
from overlap.training.device import prepare_device
from overlap.training.fit import Emit
from overlap.training.saved import load_networks
from overlap.training.spec import records_of


def predict_files(
    job: PredictionJob,
    networks: Sequence[keras.Model],
    pool: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    words: int,
    emit: Emit,
) -> PredictionChunk:
    """Predict files; those that cannot be used have a reason instead.

    Args:
        job: The files.
        networks: The members' networks, from decibels to probabilities.
        pool: (members, clips, words) to (clips, words).
        words: Number of words.
        emit: Told how many files are done, as often as a batch is.
    """

    def made(heard: OnDecoded) -> Iterator[Batch]:
        return batches(Location(job.data), job.files, job.features, heard)

    return predict_batches(made, (len(job.files), words), networks, pool, emit)


def predict_batches(
    made: Callable[[OnDecoded], Iterator[Batch]],
    shape: tuple[int, int],
    networks: Sequence[keras.Model],
    pool: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    emit: Emit,
) -> PredictionChunk:
    """Predict batches of clips, one made ahead.

    Args:
        made: The batches; given what is to be told of every clip.
        shape: Clips, also those that cannot be used, and words.
        networks: The members' networks, from decibels to probabilities.
        pool: (members, clips, words) to (clips, words).
        emit: Told how many clips are done, as often as a batch is.
    """
    count, _ = shape
    shares = np.full(shape, np.nan, np.float32)
    apart = np.full(count, np.nan, np.float32)
    reasons, repairs, clipped = [""] * count, [""] * count, np.zeros(count, np.bool_)

    def heard(place: int, clip: Clip | AudioError) -> None:
        if isinstance(clip, AudioError):
            reasons[place] = str(clip)
        else:
            repairs[place], clipped[place] = " ".join(clip.repairs), clip.clipped

    with Prefetcher(made(heard)) as prefetched:
        for batch in prefetched:
            members = _members_shares(networks, batch)
            pooled = pool(members)
            shares[batch.places], apart[batch.places] = pooled, disagreement(members, pooled)
            emit({"event": "clips", "done": int(batch.places[-1]) + 1})
    emit({"event": "clips", "done": count})
    return PredictionChunk(shares, apart, np.array(reasons), np.array(repairs), clipped)


def _members_shares(networks: Sequence[keras.Model], batch: Batch) -> NDArray[np.float64]:
    """(members, clips, words) float64."""
    found = [network.predict_on_batch(batch.decibels) for network in networks]
    return np.asarray(found, np.float64)[:, : len(batch.places)]


def apply_ensemble(job: PredictionJob, emit: Emit) -> None:
    """Do a job: what it finds is written last, as a whole."""
    location = Location(job.ensemble)
    record, owner = load_ensemble(location), EnsemblePaths.of_record(location).workspace
    members = records_of(owner, job.members)
    networks = load_networks(owner, members)
    found = predict_files(job, networks, job.pool, len(record.words), emit)
    found.write(Location(job.out))


def main() -> int:
    """Do the job named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", type=Location.of)
    job = parser.parse_args().job.read_record(PredictionJob)
    prepare_device()
    return child_main(lambda emit: apply_ensemble(job, emit))


if __name__ == "__main__":
    sys.exit(main())
