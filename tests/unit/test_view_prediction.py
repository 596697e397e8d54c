"""Prediction over HTTP: equal to `overlap predict`, limited, batched, and of the champion."""

import asyncio
import io
import json
import shutil
import tarfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from overlap.ensemble.registry import list_ensembles
from overlap.io.location import Location
from overlap.promotion.champion import champion, promote
from overlap.view.application import create_application
from overlap.view.prediction.batcher import BATCH_CLIPS
from overlap.view.prediction.uploads import RequestError, uploads
from overlap.view.settings import Limits, ViewSettings
from support.earlier_workspace import ARCHIVE, PREDICTIONS_FILE
from support.hostile_audio import CONTENTS, HEADERS
from support.hostile_cases import REPAIRED, USED
from support.view_client import add_graphs, client_of, eventually

LIMITS = Limits()
URL = "/v1/predict"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace of release 0.1.0 with inference graphs."""
    folder = tmp_path_factory.mktemp("predicting")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    add_graphs(Location.of(folder / "workspace"))
    return folder / "workspace"


@pytest.fixture
def workspace(made: Path, tmp_path: Path) -> Location:
    return Location.of(shutil.copytree(made, tmp_path / "workspace"))


@pytest.fixture(scope="module")
def clips(earlier_data: Path) -> dict[str, bytes]:
    return {file.stem: file.read_bytes() for file in sorted((earlier_data / "test").iterdir())}


def sent(clips: dict[str, bytes]) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("clips", (f"{name}.wav", content, "audio/wav")) for name, content in clips.items()]


def test_predictions_equal_those_of_the_command(workspace: Location, clips) -> None:
    expected = pd.read_csv(PREDICTIONS_FILE).set_index("id")
    with client_of(workspace) as client:
        answer = client.post(URL, files=sent(clips)).json()
        assert answer["version"] == champion(workspace)
        assert answer["words"] == [word for word in expected.columns if word != "spread"]
        for clip in answer["clips"]:
            row = expected.loc[clip["name"].removesuffix(".wav")]
            for word, probability in clip["probabilities"].items():
                assert probability == pytest.approx(row[word], abs=1e-6)
            assert clip["disagreement"] == pytest.approx(row["spread"], abs=1e-6)
            assert (clip["repairs"], clip["clipped"]) == ([], False)
        for name, content in clips.items():
            (single,) = client.post(URL, content=content).json()["clips"]
            assert single["name"] == ""
            assert single["probabilities"][answer["words"][0]] == pytest.approx(
                expected.loc[name][answer["words"][0]], abs=1e-6
            )


def test_other_formats_and_repairs(workspace: Location, clips) -> None:
    samples, rate = soundfile.read(io.BytesIO(clips["test_000"]))
    flac, stereo = io.BytesIO(), io.BytesIO()
    soundfile.write(flac, samples, rate, format="FLAC", subtype="PCM_16")
    soundfile.write(stereo, np.stack([samples, samples], 1)[:1500], rate, format="WAV")
    with client_of(workspace) as client:
        wav = client.post(URL, content=clips["test_000"]).json()["clips"][0]
        same = client.post(URL, content=flac.getvalue()).json()["clips"][0]
        assert same["probabilities"] == wav["probabilities"]
        repaired = client.post(URL, content=stereo.getvalue()).json()["clips"][0]
        assert set(repaired["repairs"]) == {"downmixed", "padded"}


def test_unusable_clips_have_code_and_reason(workspace: Location, clips) -> None:
    good = clips["test_000"]
    with client_of(workspace) as client:
        alone = client.post(URL, content=b"not a sound")
        assert alone.status_code == 422
        assert alone.json()["error"]["code"]
        mixed = client.post(URL, files=sent({"good": good, "bad": b"not a sound"}))
        assert mixed.status_code == 200
        first, second = mixed.json()["clips"]
        assert sum(first["probabilities"].values()) == pytest.approx(1)
        assert second["error"]["code"] == alone.json()["error"]["code"]
        both = client.post(URL, files=sent({"a": b"x", "b": b"y"}))
        assert (both.status_code, both.json()["error"]["code"]) == (422, "unusable-clips")
        assert len(both.json()["error"]["clips"]) == 2


@pytest.mark.parametrize(
    ("limits", "status", "code"),
    [
        (Limits(clips=2), 413, "too-many-clips"),
        (Limits(body_bytes=1000), 413, "body-too-large"),
        (Limits(buffered_bytes=1000), 429, "busy"),
        (Limits(waiting_clips=2), 429, "busy"),
    ],
)
def test_limits(workspace: Location, clips, limits: Limits, status: int, code: str) -> None:
    with client_of(workspace, ViewSettings(limits=limits)) as client:
        answer = client.post(URL, files=sent(clips))
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        ends = (body for body in (b"x" * 900, b"x" * 900))  # no length is declared
        if code == "body-too-large":
            assert client.post(URL, content=ends).status_code == 413


def test_requests_that_are_not_well_formed(workspace: Location) -> None:
    kind = {"content-type": "multipart/form-data; boundary=b"}
    with client_of(workspace) as client:
        assert client.post(URL).json()["error"]["code"] == "no-clips"
        assert client.get(URL).status_code == 405
        for body in (b"", b"x", b"--b", b"--b\r\n", b"--b\r\n\r\n\r\n--c--", b"--b\r\nx\r\n--b--"):
            answer = client.post(URL, content=body, headers=kind)
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "malformed-body")
        empty = client.post(URL, content=b"--b--\r\n", headers=kind)
        assert empty.json()["error"]["code"] == "no-clips"


def test_hostile_files_are_refused_with_a_reason(workspace: Location, tmp_path: Path) -> None:
    with client_of(workspace) as client:
        for case in (*HEADERS, *CONTENTS):
            case.write(tmp_path / case.file_name)
            content = (tmp_path / case.file_name).read_bytes()
            answer = client.post(URL, content=content)
            if answer.status_code == 200:
                (clip,) = answer.json()["clips"]  # the fault may be in a part that is trimmed
                assert case.outcome in (USED, REPAIRED) or "trimmed" in clip["repairs"], case
                continue
            assert case.outcome not in (USED, REPAIRED), case
            assert answer.status_code in {400, 413, 422}, (case, answer.text)
            error = answer.json()["error"]
            assert error["code"] in {case.code, "no-clips", "body-too-large"}, case
            assert error["message"], case


def test_the_picture_of_a_clip(workspace: Location, clips) -> None:
    with client_of(workspace) as client:
        drawn = client.post("/v1/picture", content=clips["test_000"])
        assert drawn.headers["content-type"] == "image/png"
        assert drawn.content.startswith(b"\x89PNG")
        refused = client.post("/v1/picture", content=b"not a sound")
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "unreadable")
        assert "Record 0.25 s" in client.get("/try").text


def test_without_a_champion(tmp_path: Path, clips) -> None:
    with client_of(tmp_path / "none") as client:
        answer = client.post(URL, content=clips["test_000"])
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no-champion")
        assert int(answer.headers["retry-after"]) > 0
        assert client.get("/healthz").status_code == 200


def test_a_new_champion_is_used_without_a_failed_request(workspace: Location, clips) -> None:
    versions = [record.version for record in list_ensembles(workspace)]
    other = next(version for version in versions if version != champion(workspace))
    with client_of(workspace) as client, ThreadPoolExecutor(4) as threads:
        content = clips["test_000"]
        assert client.post(URL, content=content).json()["version"] != other
        ask = partial(client.post, URL, content=content)
        answers = [threads.submit(ask) for _ in range(8)]
        promote(workspace, other)

        def arrived() -> bool:
            answers.append(threads.submit(ask))
            return answers[-1].result().json()["version"] == other

        eventually(arrived)
        assert {answer.result().status_code for answer in answers} == {200}


def test_a_champion_that_cannot_be_loaded_leaves_the_previous_one(
    workspace: Location, clips
) -> None:
    versions = [record.version for record in list_ensembles(workspace)]
    before = champion(workspace)
    other = next(version for version in versions if version != before)
    with client_of(workspace) as client:
        assert client.post(URL, content=clips["test_000"]).json()["version"] == before
        promote(workspace, other)
        (workspace / "ensembles" / other).remove()
        for _ in range(5):
            answer = client.post(URL, content=clips["test_000"])
            assert answer.json()["version"] == before


def test_concurrent_requests_share_batches_and_keep_their_clips(workspace: Location, clips) -> None:
    with client_of(workspace) as client, ThreadPoolExecutor(16) as threads:
        alone = {
            name: client.post(URL, content=content).json()["clips"][0]
            for name, content in clips.items()
        }
        names = [*clips] * 8
        answers = threads.map(lambda name: client.post(URL, content=clips[name]).json(), names)
        for name, answer in zip(names, answers, strict=True):
            (clip,) = answer["clips"]
            expected, found = alone[name]["probabilities"], clip["probabilities"]
            assert [*found.values()] == pytest.approx([*expected.values()], abs=1e-6)
        figures = client.get("/metrics").text
    batches = float(figures.split("overlap_predict_batch_clips_count ")[1].split()[0])
    assert batches < len(clips) + len(names)
    assert f'overlap_predict_requests_total{{status="200"}} {len(clips) + len(names)}.0' in figures
    assert 'overlap_champion{version="' in figures


def test_a_request_larger_than_a_batch(workspace: Location, clips) -> None:
    content = clips["test_000"]
    many = {str(n): content for n in range(BATCH_CLIPS + 5)}
    settings = ViewSettings(limits=replace(LIMITS, clips=200))
    with client_of(workspace, settings) as client:
        answer = client.post(URL, files=sent(many)).json()
    values = np.array([[*clip["probabilities"].values()] for clip in answer["clips"]])
    assert values.shape == (BATCH_CLIPS + 5, 4)
    assert np.abs(values - values[0]).max() < 1e-6


def test_the_description_names_every_field(workspace: Location, clips) -> None:
    with client_of(workspace) as client:
        described = client.get("/openapi.json").json()
        answer = client.post(URL, files=sent({"a": clips["test_000"], "b": b"x"})).json()
    schemas = described["components"]["schemas"]
    assert described["openapi"].startswith("3.1")
    assert set(answer) == set(schemas["Predictions"]["properties"])
    known = set(schemas["Clip"]["properties"])
    assert {key for clip in answer["clips"] for key in clip} == known
    responses = described["paths"][URL]["post"]["responses"]
    assert {"200", "400", "401", "408", "413", "422", "429", "503"} == set(responses)
    references = [value for key, value in _items(described) if key == "$ref"]
    assert {reference.rpartition("/")[2] for reference in references} == set(schemas)


def _items(content):
    if isinstance(content, dict):
        for key, value in content.items():
            yield key, value
            yield from _items(value)
    elif isinstance(content, list):
        for value in content:
            yield from _items(value)


def multipart(files: list[tuple[str, bytes]], boundary: str) -> bytes:
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="clips"; filename="{name}"\r\n'
        "Content-Type: audio/wav\r\n\r\n".encode()
        + content
        + b"\r\n"
        for name, content in files
    ]
    return b"".join(parts) + f"--{boundary}--\r\n".encode()


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=4))
def test_any_bytes_survive_multipart(contents: list[bytes]) -> None:
    boundary = "boundary-that-occurs-nowhere"
    files = [(f"clip {n}.wav", content) for n, content in enumerate(contents)]
    found = uploads(
        multipart(files, boundary), f'multipart/form-data; boundary="{boundary}"', LIMITS
    )
    assert [(one.name, one.content) for one in found] == files


@given(st.binary(max_size=200))
def test_any_body_is_clips_or_refused(body: bytes) -> None:
    for kind in ("multipart/form-data; boundary=b", "multipart/form-data", "audio/wav", "", "\0"):
        with suppress(RequestError):
            assert uploads(body, kind, LIMITS)


def test_names_are_readable_and_fields_are_no_clips() -> None:
    files = [("위 \u202e.wav", b"1"), ("", b"2")]
    found = uploads(multipart(files, "b"), "multipart/form-data; boundary=b", LIMITS)
    assert [one.name for one in found] == ["위 �.wav", ""]
    field = b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n--b--\r\n'
    with pytest.raises(RequestError):
        uploads(field, "multipart/form-data; boundary=b", LIMITS)


def test_a_slow_client_is_refused_and_delays_nobody(workspace: Location, clips) -> None:
    """Its body is read beside the predictions of others."""
    limits = replace(LIMITS, body_seconds=0.3)
    app = create_application(workspace, ViewSettings(limits=limits), 0)
    content = clips["test_000"]

    async def ask(parts: list[bytes], wait: float) -> tuple[int, dict]:
        waiting, sent = [*parts], []

        async def receive() -> dict:
            if len(waiting) <= 1 and wait:
                await asyncio.sleep(wait)
            body = waiting.pop(0)
            return {"type": "http.request", "body": body, "more_body": bool(waiting)}

        async def send(message: dict) -> None:
            sent.append(message)

        scope = {
            "type": "http", "method": "POST", "path": URL, "raw_path": URL.encode(),
            "query_string": b"", "headers": [(b"host", b"localhost")], "scheme": "http",
            "http_version": "1.1", "root_path": "", "server": ("localhost", 80),
        }  # fmt: skip
        await app(scope, receive, send)
        body = b"".join(message.get("body", b"") for message in sent)
        return sent[0]["status"], json.loads(body)

    async def run() -> None:
        async with Lifespan(app):
            slow = asyncio.create_task(ask([content[:10], content[10:]], 60.0))
            status, answer = await ask([content], 0)
            assert (status, len(answer["clips"])) == (200, 1)
            status, answer = await slow
            assert (status, answer["error"]["code"]) == (408, "too-slow")

    asyncio.run(run())


class Lifespan:
    """The life of an application, without a server."""

    def __init__(self, app) -> None:
        self._app, self._in, self._out = app, asyncio.Queue(), asyncio.Queue()

    async def __aenter__(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        self._task = asyncio.create_task(self._app(scope, self._in.get, self._out.put))
        await self._in.put({"type": "lifespan.startup"})
        assert (await self._out.get())["type"] == "lifespan.startup.complete"

    async def __aexit__(self, *_) -> None:
        await self._in.put({"type": "lifespan.shutdown"})
        await self._task
