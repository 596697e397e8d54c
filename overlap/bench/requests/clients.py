"""Load clients: programs of their own that send requests and measure the answers.

`hey` is compiled and takes a small part of a core. `locust` is written in Python and competes with
the server for the processors, which lowers the figures of a fast server most.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Final

from overlap.errors import BenchError, UserError
from overlap.system.distribution import extra_hint
from overlap.system.import_path import child_environment

REQUEST_SECONDS: Final = 600
"""Time after which a client gives up a request: 64 clients may wait for a slow server."""
CLIP_VARIABLE: Final = "OVERLAP_BENCH_CLIP"
"""Environment variable with the path of the clip, for `locust_user`."""
AUDIO: Final = "application/octet-stream"
PREDICT: Final = "/v1/predict"


@dataclass(frozen=True)
class Load:
    """What a client measured."""

    requests: int
    """Requests that were answered with status 200."""
    errors: int
    """Other answers, and requests without an answer."""
    per_second: float
    """Requests per second."""
    p50_ms: float
    p99_ms: float
    """Percentiles of the time to an answer, ms; of fewer than 100 answers, p99 is the largest."""


Send = Callable[[str, Path, int, float], Load]
"""Sends a clip to an address from several clients at once, for some seconds."""


def choose_client(name: str | None) -> tuple[str, Send]:
    """Return a client by its name; None: `hey` if it is installed, otherwise `locust`.

    Raises:
        UserError: It is unknown (`unknown-client`) or not installed (`client-not-installed`).
    """
    if name not in (None, *CLIENTS):
        raise UserError(
            f"--client {name}: unknown; choose from {', '.join(CLIENTS)}",
            code="unknown-client", client=name,
        )  # fmt: skip
    installed = {"hey": shutil.which("hey"), "locust": find_spec("locust")}
    found = next((one for one in CLIENTS if name in (None, one) and installed[one]), None)
    if found is None:
        hints = {
            "hey": "install hey, a program that systems offer as a package",
            "locust": f"for locust: {extra_hint('load')}",
        }
        wanted = CLIENTS if name is None else (name,)
        raise UserError(
            f"{' and '.join(wanted)}: not installed; {', or '.join(hints[one] for one in wanted)}",
            code="client-not-installed", clients=[*wanted],
        )  # fmt: skip
    return found, CLIENTS[found]


def send_with_hey(url: str, clip: Path, clients: int, seconds: float) -> Load:
    """Send requests with `hey`."""
    command = [
        "hey", "-z", f"{seconds:g}s", "-c", str(clients), "-t", str(REQUEST_SECONDS), "-m", "POST",
        "-T", AUDIO, "-D", str(clip), url + PREDICT,
    ]  # fmt: skip
    return parse_hey(_output(command, dict(os.environ), clients, seconds))


def parse_hey(text: str) -> Load:
    """Read the summary that `hey` prints.

    Raises:
        BenchError: It contains no summary.
    """
    statuses = {int(a): int(b) for a, b in re.findall(r"\[(\d+)\]\s+(\d+) responses", text)}
    faults = text.partition("Error distribution:")[2]
    lost = sum(int(count) for count in re.findall(r"^\s*\[(\d+)\]", faults, re.MULTILINE))
    slowest = _seconds(text, r"Slowest:\s+([\d.]+) secs")
    rate = _seconds(text, r"Requests/sec:\s+([\d.]+)")
    if rate is None:
        raise BenchError(f"hey printed no summary:\n{text[-2000:]}")
    answered = statuses.get(200, 0)
    failed = sum(statuses.values()) - answered + lost
    p50 = _seconds(text, r"50%+ in ([\d.]+) secs") or slowest or 0.0
    p99 = _seconds(text, r"99%+ in ([\d.]+) secs") or slowest or 0.0
    return Load(answered, failed, rate * answered / max(1, answered + failed), p50 * 1e3, p99 * 1e3)


def _seconds(text: str, pattern: str) -> float | None:
    found = re.search(pattern, text)
    return float(found[1]) if found else None


def send_with_locust(url: str, clip: Path, clients: int, seconds: float) -> Load:
    """Send requests with `locust`."""
    users = Path(__file__).with_name("locust_user.py")
    command = [
        sys.executable, "-m", "locust", "-f", str(users), "--headless", "--json", "--skip-log",
        "-u", str(clients), "-r", str(clients), "-t", f"{max(1, round(seconds))}s",
        "--stop-timeout", str(REQUEST_SECONDS), "--exit-code-on-error", "0", "--host", url,
    ]  # fmt: skip
    environment = child_environment({**os.environ, CLIP_VARIABLE: str(clip)})
    return parse_locust(_output(command, environment, clients, seconds))


def parse_locust(text: str) -> Load:
    """Read the figures that `locust --json` prints.

    Raises:
        BenchError: It printed something else.
    """
    try:
        (entry,) = json.loads(text)
        times = sorted((float(ms), count) for ms, count in entry["response_times"].items())
        failed, total = entry["num_failures"], entry["num_requests"]
        seconds = entry["last_request_timestamp"] - entry["start_time"]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise BenchError(f"locust printed no figures ({error}):\n{text[-2000:]}") from None
    answered = total - failed
    return Load(
        answered, failed, answered / max(seconds, 1e-9), _percentile(times, 0.50),
        _percentile(times, 0.99),
    )  # fmt: skip


def _percentile(times: Sequence[tuple[float, int]], part: float) -> float:
    """Return the smallest time that this part of the answers did not exceed.

    Examples:
        >>> _percentile([(10.0, 98), (20.0, 2)], 0.5), _percentile([(10.0, 98), (20.0, 2)], 0.99)
        (10.0, 20.0)
    """
    needed, seen = part * sum(count for _, count in times), 0
    for time, count in times:
        seen += count
        if seen >= needed:
            return time
    return 0.0


def _output(
    command: list[str], environment: Mapping[str, str], clients: int, seconds: float
) -> str:
    """Run a client to its end; the requests under way at the end of its time are answered."""
    try:
        done = subprocess.run(
            command, env=dict(environment), stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=seconds + 2 * REQUEST_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise BenchError(f"{command[0]} with {clients} clients did not end") from None
    if done.returncode:
        raise BenchError(
            f"{command[0]} failed; its output ends with\n{(done.stdout + done.stderr)[-2000:]}",
            exit_code=done.returncode,
        )
    return done.stdout


CLIENTS: Final[Mapping[str, Send]] = MappingProxyType(
    {"hey": send_with_hey, "locust": send_with_locust}
)
"""The clients by name, in order of preference."""
