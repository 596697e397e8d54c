"""Loads the servers of one ensemble in turn, and compares them.

Servers of the same ensemble run side by side, and only one of them has requests at a time. In every
round each number of clients asks each server, so that a slow machine affects all equally.
"""

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import soundfile

from overlap.bench.features import speech_like
from overlap.bench.prediction import ENSEMBLES
from overlap.bench.requests.clients import Load, Send
from overlap.bench.requests.naive_server import CALLED, COMPILED
from overlap.bench.requests.servers import RunningServer, first_answer, naive_server, own_server
from overlap.config import FeatureConfig
from overlap.errors import BenchError
from overlap.system.child_process import start_child
from overlap.training.inference.store import TOLERANCE

OWN: Final = "overlap view"
NAIVE: Final = {CALLED: "FastAPI", COMPILED: "FastAPI, compiled"}
"""Names of the naive servers by how they call networks."""
WORDS: Final = 30
WARM_UP_SECONDS: Final = 1.0


@dataclass(frozen=True)
class RequestsBench:
    """Input of the benchmark."""

    members: Mapping[str, int]
    """Number of members by ensemble, a key of `overlap.bench.prediction.ENSEMBLES`."""
    clients: tuple[int, ...]
    """Numbers of clients that ask at the same time."""
    seconds: float
    """Duration of one load, s; the requests under way at its end are answered."""
    compiled: bool
    """Whether to measure a naive server with compiled networks, too."""


@dataclass(frozen=True)
class Measured:
    """One load of one server."""

    load: Load
    server_seconds: float
    """Processor time of the server, s."""
    client_seconds: float
    """Processor time of the client, s."""

    def cpu_ms(self, seconds: float) -> float:
        """Return a processor time per request, ms."""
        return 1e3 * seconds / max(1, self.load.requests + self.load.errors)


@dataclass(frozen=True)
class RequestsRow:
    """Result of one server with one number of clients."""

    ensemble: str
    server: str
    clients: int
    requests_per_second: float
    """Median over rounds."""
    ratio: float
    """Requests per second relative to the naive server in the same round; median."""
    p50_ms: float
    p99_ms: float
    """Percentiles of the time to an answer, ms; median over rounds."""
    server_cpu_ms: float
    """Processor time of the server per request, ms; median over rounds. Other work on the machine
    changes it less than it changes the requests per second."""
    client_cpu_ms: float
    """The same of the load client, which competes with the server."""
    requests: int
    """Answered requests of all rounds."""
    errors: int
    """Failed requests of all rounds."""


def bench_requests(job: RequestsBench, send: Send, rounds: int) -> list[RequestsRow]:
    """Measure the servers with each ensemble.

    Args:
        job: Ensembles and load.
        send: The load client.
        rounds: Loads of every server with every number of clients.

    Raises:
        BenchError: A process failed.
    """
    rows: list[RequestsRow] = []
    with tempfile.TemporaryDirectory(prefix="overlap-bench-") as folder:
        place, config = Path(folder), FeatureConfig()
        clip = place / "clip.wav"
        soundfile.write(clip, speech_like(1, config)[0], config.sample_rate, subtype="PCM_16")
        for ensemble, members in job.members.items():
            _write_workspace(place, ensemble, members)
            loads = _measured(place, ensemble, clip, job, send, rounds)
            name = f"{members} members of {ensemble}"
            rows += [
                _row(name, server, clients, found, loads[NAIVE[CALLED], clients])
                for (server, clients), found in loads.items()
            ]
    return rows


def _measured(
    place: Path, ensemble: str, clip: Path, job: RequestsBench, send: Send, rounds: int
) -> dict[tuple[str, int], list[Measured]]:
    workspace = place / ensemble
    with ExitStack() as running:
        calls = (CALLED, COMPILED) if job.compiled else (CALLED,)
        servers = {
            NAIVE[call]: naive_server(workspace, call, place / f"log-{call}") for call in calls
        }
        servers[OWN] = own_server(workspace, place / "log-view")
        started = {name: running.enter_context(server) for name, server in servers.items()}
        content = clip.read_bytes()
        check_equal({name: first_answer(one.url, content) for name, one in started.items()})
        for one in started.values():
            send(one.url, clip, 1, WARM_UP_SECONDS)
        loads: dict[tuple[str, int], list[Measured]] = {
            (name, clients): [] for clients in job.clients for name in started
        }
        for _ in range(rounds):
            for (name, clients), found in loads.items():
                found.append(_loaded(started[name], clip, clients, job.seconds, send))
    return loads


def _loaded(
    server: RunningServer, clip: Path, clients: int, seconds: float, send: Send
) -> Measured:
    before, own = server.cpu_seconds(), os.times()
    load = send(server.url, clip, clients, seconds)
    after, now = server.cpu_seconds(), os.times()
    client = now.children_user + now.children_system - own.children_user - own.children_system
    return Measured(load, after - before, client)


def check_equal(answers: Mapping[str, Mapping[str, float]]) -> None:
    """Compare the probabilities of all servers for the same clip.

    Args:
        answers: Probabilities by word, by server.

    Raises:
        BenchError: They differ, so the servers do not do the same work.
    """
    first = answers[OWN]
    for server, found in answers.items():
        difference = max(abs(found[word] - first[word]) for word in first)
        if difference > TOLERANCE:
            raise BenchError(f"the predictions of {server} and {OWN} differ by {difference:.2g}")


def _row(
    ensemble: str, server: str, clients: int, loads: Sequence[Measured], naive: Sequence[Measured]
) -> RequestsRow:
    rates = np.array([one.load.per_second for one in loads])
    reference = np.array([one.load.per_second for one in naive])
    return RequestsRow(
        ensemble=ensemble,
        server=server,
        clients=clients,
        requests_per_second=float(np.median(rates)),
        ratio=float(np.median(rates / reference)) if reference.all() else float("nan"),
        p50_ms=float(np.median([one.load.p50_ms for one in loads])),
        p99_ms=float(np.median([one.load.p99_ms for one in loads])),
        server_cpu_ms=float(np.median([one.cpu_ms(one.server_seconds) for one in loads])),
        client_cpu_ms=float(np.median([one.cpu_ms(one.client_seconds) for one in loads])),
        requests=sum(one.load.requests for one in loads),
        errors=sum(one.load.errors for one in loads),
    )


def _write_workspace(place: Path, ensemble: str, members: int) -> None:
    arguments = {"preset": ENSEMBLES[ensemble], "members": members, "words": WORDS}
    log = place / "log-untrained"
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    with log.open("w") as file:
        child = start_child(
            "overlap.bench.requests.untrained",
            [str(place / ensemble), json.dumps(arguments)], environment, file,
        )  # fmt: skip
    try:
        if child.read_report() is None:
            raise BenchError(f"the process failed; its log ends with\n{log.read_text()[-2000:]}")
    finally:
        child.close()
