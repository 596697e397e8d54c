"""The pieces of the benchmark of requests: what clients print, and how servers are compared."""

import json
import shutil
from importlib.util import find_spec

import pytest

from flows.cli.commands.benchmarks.bench_requests import client_numbers
from overlap.bench.requests.clients import Load, choose_client, parse_hey, parse_locust
from overlap.bench.requests.measure import OWN, Measured, check_equal
from overlap.bench.requests.measure import _row as row
from overlap.errors import BenchError, UserError
from support.errors import raises

HEY = """
Summary:
  Total:	10.0 secs
  Slowest:	0.2050 secs
  Fastest:	0.0100 secs
  Average:	0.0260 secs
  Requests/sec:	40.0

Response time histogram:
  0.010 [1]	|
  0.030 [287]	|■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■

Latency distribution:
  10% in 0.0150 secs
  50% in 0.0193 secs
  99% in 0.1521 secs

Status code distribution:
  [200]	300 responses
  [503]	60 responses

Error distribution:
  [40]	Post "http://127.0.0.1:4501/v1/predict": connect: connection refused
"""


def test_the_summary_of_hey() -> None:
    found = parse_hey(HEY)
    assert (found.requests, found.errors) == (300, 100)
    assert found.per_second == pytest.approx(30)
    assert (found.p50_ms, found.p99_ms) == pytest.approx((19.3, 152.1))
    few = parse_hey(HEY.replace("  99% in 0.1521 secs\n", ""))
    assert few.p99_ms == pytest.approx(205)


def test_hey_without_any_answer() -> None:
    head, _, faults = HEY.partition("Latency distribution:")
    silent = head.replace("0.2050", "0.0000") + faults[faults.index("Error distribution:") :]
    assert parse_hey(silent) == Load(0, 40, 0.0, 0.0, 0.0)
    with raises(BenchError, "benchmark-failed"):
        parse_hey("flag provided but not defined")


def test_the_figures_of_locust() -> None:
    entry = {
        "name": "/v1/predict", "num_requests": 100, "num_failures": 10, "start_time": 5.0,
        "last_request_timestamp": 15.0, "response_times": {"20": 98, "9": 1, "150.0": 1},
    }  # fmt: skip
    assert parse_locust(json.dumps([entry])) == Load(90, 10, 9.0, 20.0, 20.0)
    for text in ("", "[]", "{}", json.dumps([entry | {"response_times": None}])):
        with raises(BenchError, "benchmark-failed"):
            parse_locust(text)


def test_the_client_is_the_first_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    with raises(UserError, "unknown-client"):
        choose_client("wrk")
    installed = [name for name, found in (("hey", shutil.which("hey")),
                                          ("locust", find_spec("locust"))) if found]  # fmt: skip
    for name in installed:
        assert choose_client(name)[0] == name
    if installed:
        assert choose_client(None)[0] == installed[0]
    monkeypatch.setenv("PATH", "")
    with raises(UserError, "client-not-installed", clients=["hey"]):
        choose_client("hey")
    if "locust" not in installed:
        with raises(UserError, "client-not-installed") as caught:
            choose_client(None)
        assert "[load]" in str(caught.value)


def test_figures_are_medians_over_rounds_and_ratios_are_of_the_same_round() -> None:
    naive = [Load(10, 0, 1.0, 500, 900), Load(10, 0, 2.0, 500, 900), Load(10, 0, 4.0, 500, 900)]
    own = [Load(30, 1, 30.0, 10, 30), Load(40, 0, 40.0, 20, 50), Load(20, 1, 20.0, 30, 40)]
    measured = [
        Measured(load, seconds, 0.062) for load, seconds in zip(own, (3.1, 2, 6.3), strict=True)
    ]
    found = row("3 members of demo", OWN, 8, measured, [Measured(load, 1, 1) for load in naive])
    assert (found.server_cpu_ms, found.client_cpu_ms) == pytest.approx((100, 2))
    assert (found.requests_per_second, found.ratio) == (30, 20)
    assert (found.p50_ms, found.p99_ms, found.requests, found.errors) == (20, 40, 90, 2)


def test_servers_that_predict_something_else_are_not_compared() -> None:
    check_equal({OWN: {"a": 0.5, "b": 0.5}, "FastAPI": {"a": 0.50001, "b": 0.49999}})
    with raises(BenchError, "benchmark-failed"):
        check_equal({OWN: {"a": 0.5, "b": 0.5}, "FastAPI": {"a": 0.6, "b": 0.4}})


@pytest.mark.parametrize("text", ["", "0", "1,,8", "-1", "1;8", "2000", "²"])
def test_numbers_of_clients_that_are_invalid(text: str) -> None:
    with raises(UserError, "invalid-clients", clients=text):
        client_numbers(text)
    assert client_numbers("1, 8,64") == (1, 8, 64)
