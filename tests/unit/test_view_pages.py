"""Pages of a workspace: complete, in parts, empty, damaged, newer; all text is escaped."""

import json
import re
from pathlib import Path

import pytest

from overlap.config import RunConfig
from overlap.ensemble.registry import list_ensembles
from overlap.io.location import Location
from overlap.io.records import FORMAT
from overlap.promotion.champion import promote, read_aliases
from overlap.view.charts import Frame, Line, axis_ticks, line_chart
from overlap.workspace.runs import recorded_run
from support.earlier_workspace import Earlier
from support.run_steps import publish_record, published
from support.untrained_members import Ready, champion_of, complete, with_ensemble
from support.untrained_members import published as publish
from support.view_client import HTML, add_runs, begin_member, fail_with, page_client
from support.view_page import Page, page


def test_the_overview_of_an_earlier_workspace(earlier: Earlier) -> None:
    """A workspace of 0.1.0 has neither records of runs nor intervals in all versions."""
    records, aliases = list_ensembles(earlier.location), read_aliases(earlier.location)
    champion = next(one for one in records if one.version == aliases.version)
    with page_client(earlier.location) as client:
        shown = page(client, "/")
        assert f"{champion.kl:.4f}" in shown.text
        assert f"{champion.trivial_kl:.4f}" in shown.text
        assert {f"/versions/{one.version}" for one in records} <= shown.links()
        assert "No run has been recorded yet" in shown.text
        assert "test / train" in shown.text
        assert "features.zarr" in shown.text
        assert any(tag == "svg" for tag, _ in shown.tags)
        for record in records:
            version = page(client, f"/versions/{record.version}")
            assert f"overlap models promote {record.version}" in version.text
        assert all(word in version.text for word in records[-1].words)


def test_nothing_is_written(earlier: Earlier) -> None:
    before = earlier.contents()
    with page_client(earlier.location) as client:
        first, last = (one.version for one in list_ensembles(earlier.location))
        for path in ("/", "/members", f"/versions/{last}?with={first}"):
            page(client, path)
    assert earlier.contents() == before


def test_runs_and_what_works_now(earlier: Earlier) -> None:
    add_runs(earlier.location)
    with page_client(earlier.location) as client:
        text = page(client, "/").text
        assert "the disk <b>is</b> full" in text
        assert "No run is working" in text
        with recorded_run(earlier.location, "retrain") as run:
            stage = run.stage("members", 8)
            stage.move(2)
            stage.close()
            shown = page(client, "/")
            assert "2 of 8" in shown.text
            assert ("progress", {"max": "8", "value": "2", "aria-label": "members"}) in shown.tags


def test_members_in_training(earlier: Earlier) -> None:
    begin_member(earlier.location)
    with page_client(earlier.location) as client:
        shown = page(client, "/members")
    assert "epoch 3 of 10" in shown.text
    assert "1,234 clips/s" in shown.text
    assert "14 s left" in shown.text
    assert "Tesla <T4>" in shown.text
    assert len([tag for tag, _ in shown.tags if tag == "table"]) == 1


def test_updates_arrive_as_events(earlier: Earlier) -> None:
    begun = begin_member(earlier.location)
    from overlap.view.events import EventStreams
    from overlap.view.reader import WorkspaceReader
    from overlap.view.rendering import Renderer
    from overlap.view.training import members_page

    reader, renderer = WorkspaceReader(earlier.location, 0), Renderer(earlier.location, "")

    def render() -> str:
        return renderer.text("_members.html", members_page(reader))

    import asyncio

    async def watch() -> list[str]:
        streams = EventStreams(0.01)
        events = streams._events(render)
        found = [await anext(events)]
        line = json.loads(begun.progress.read_bytes().splitlines()[-1])
        begun.progress.write_bytes(json.dumps(line | {"epoch": 7}).encode())
        found.append(await anext(events))
        streams.end()
        assert [rest async for rest in events] == []
        return found

    first, second = asyncio.run(watch())
    assert first.startswith("event: part\ndata: ")
    assert "epoch 3 of 10" in json.loads(first.splitlines()[1].removeprefix("data: "))
    assert "epoch 7 of 10" in json.loads(second.splitlines()[1].removeprefix("data: "))


@pytest.mark.parametrize("made", [False, True])
def test_a_workspace_without_anything(tmp_path: Path, made: bool) -> None:
    workspace = tmp_path / "workspace"
    if made:
        workspace.mkdir()
    with page_client(workspace) as client:
        text = page(client, "/").text
        assert ("No workspace yet" in text) is not made
        assert "There is no champion yet" in text
        assert "No member is complete" in page(client, "/members").text
    assert workspace.exists() is made


def test_damaged_and_newer_files_leave_the_rest_readable(earlier: Earlier) -> None:
    first, last = (one.version for one in list_ensembles(earlier.location))
    (earlier.workspace / "champion.json").write_text(json.dumps({FORMAT: 99}))
    (earlier.workspace / "ensembles" / first / "ensemble.json").write_bytes(b"{")
    member = min((earlier.workspace / "members").iterdir())
    (member / "member.json").write_bytes(b"{")
    (earlier.workspace / "catalog.parquet").write_bytes(b"no table")
    with page_client(earlier.location) as client:
        text = page(client, "/").text
        assert "written by a newer release" in text
        assert last in text
        assert text.count("is damaged") >= 1
        assert "Unreadable" in page(client, "/members").text
        assert "cannot be read" in page(client, f"/versions/{last}").text
        page(client, f"/versions/{first}", 404)


def test_a_champion_that_no_longer_exists(earlier: Earlier) -> None:
    from shutil import rmtree

    rmtree(earlier.workspace / "ensembles" / str(read_aliases(earlier.location).version))
    with page_client(earlier.location) as client:
        assert "no longer exists" in page(client, "/").text


def test_a_comparison_of_versions(config: RunConfig, ready: Ready) -> None:
    workspace, first = champion_of(config, ready, 2)
    more = with_ensemble(config, members=4)
    complete(more, ready, (3, 4))
    second = publish(more, ready)
    with page_client(workspace) as client:
        shown = page(client, f"/versions/{second.version}?with={first.version}")
        assert f"{second.kl:.4f} against {first.kl:.4f}" in shown.text
        assert f"{first.kl - second.kl:+.4f}" in shown.text
        assert "Clips that improved most" in shown.text
        with_none = page(client, f"/versions/{second.version}?with=nothing")
        assert "There is no version nothing." in with_none.text
        promote(workspace, second.version)
        assert "promoted by the user" in page(client, "/").text


def test_files_are_downloaded(earlier: Earlier) -> None:
    version = list_ensembles(earlier.location)[0].version
    folder = earlier.workspace / "ensembles" / version
    with page_client(earlier.location) as client:
        for name in ("submission.csv", "predictions.npz", "ensemble.json"):
            answer = client.get(f"/versions/{version}/files/{name}")
            assert answer.content == (folder / name).read_bytes()
            assert answer.headers["content-disposition"].startswith("attachment")
        (folder / "report.html").write_text("<style>p {}</style>")
        report = client.get(f"/versions/{version}/files/report.html")
        assert "sandbox" in report.headers["content-security-policy"]
        for name in ("model.keras", "..%2Fchampion.json", "%2e%2e/%2e%2e/champion.json"):
            assert client.get(f"/versions/{version}/files/{name}").status_code == 404


def test_text_of_users_is_escaped(workspace: Location) -> None:
    attack = "<script>alert(1)</script>"
    record = published("20260101-000000-aaaa", words="ab").model_copy(
        update={"data": attack, "words": (attack, "위", '"><img src=x onerror=alert(1)>'),
                "kl": 0.5, "trivial_kl": 1.0, "fewer": attack, "kl_interval": (0.4, 0.6)}
    )  # fmt: skip
    publish_record(workspace, record)
    promote(workspace, record.version)
    fail_with(workspace, attack)
    with page_client(workspace) as client:
        for path in (
            "/",
            f"/versions/{record.version}",
            f"/versions/{record.version}?with={attack}",
        ):
            answer = client.get(path, headers=HTML)
            assert "<script>alert" not in answer.text
            assert "<img" not in answer.text
            assert attack in Page(answer.text).text
        assert "위" in client.get("/").text


def test_pages_that_do_not_exist(earlier: Earlier) -> None:
    with page_client(earlier.location) as client:
        assert "Not found" in page(client, "/nothing", 404).text
        assert client.get("/nothing").json()["error"]["code"] == "not-found"
        assert client.post("/").json()["error"]["code"] == "wrong-method"
        assert client.get("/events/nothing").status_code == 404


def test_ticks_enclose_the_values() -> None:
    for low, high in ((0.0, 1.0), (0.913, 0.92), (-3.0, 120.0), (5.0, 5.0), (0.0, 0.0)):
        ticks = axis_ticks(low, high)
        assert ticks[0] <= low <= high <= ticks[-1]
        assert 2 <= len(ticks) <= 8


def test_a_chart_has_gaps_and_escaped_names() -> None:
    lines = [Line("a", [(0, 1.0), (1, None), (2, float("nan")), (3, 2.0)], dots=True)]
    drawn = line_chart(Frame("<b>", x_names=["<i>", "b", "c", "d"]), lines)
    assert "<b>" not in drawn
    assert "<i>" not in drawn
    assert drawn.count("M", drawn.index("line a")) == 2
    assert drawn.count("<circle") == 2
    assert line_chart(Frame("x"), [Line("a", [(0, None)])]) == ""


def test_a_single_value_of_a_line_without_dots_is_a_dash() -> None:
    points = [(0.0, 1.0), (1.0, None), (2.0, 2.0), (3.0, 2.0)]
    drawn = line_chart(Frame("x", x_names=[*"abcd"]), [Line("trivial", points)])
    (path,) = re.findall(r'class="line trivial" d="([^"]*)"', drawn)
    assert re.fullmatch(r"M[\d.]+ [\d.]+h20M[\d.]+ [\d.]+L[\d.]+ [\d.]+", path)
