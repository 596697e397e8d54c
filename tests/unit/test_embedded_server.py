"""The embedded server: where its database is, what reaches it, and the messages about servers."""

import http.server
import os
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path

import pytest

from flows.service import embedded_server, servers
from flows.service.configured_server import server_needed
from flows.service.early_start import check_ports
from flows.service.embedded_storage import (
    EmbeddedStorage,
    database_fault,
    embedded_storage,
    likely_storage,
    newest_revision,
)
from flows.service.environment import certificates_fault, loopback_without_proxy
from flows.service.settings_faults import settings_fault
from overlap.errors import UserError
from support.errors import raises
from support.markdown_blocks import ROOT
from support.processes import free_port
from support.trials import trial

OURS = f"overlap/prefect-{version('prefect')}"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def database(home: Path, revision: str) -> Path:
    """Create a database of a version of Prefect."""
    home.mkdir(exist_ok=True)
    file = home / "prefect.db"
    with closing(sqlite3.connect(file)) as opened:
        opened.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        opened.execute("INSERT INTO alembic_version VALUES (?)", (revision,))
        opened.commit()
    return file


def chosen(home: Path) -> EmbeddedStorage:
    """Return the storage for a home with Prefect's default database."""
    return embedded_storage(home, f"sqlite+aiosqlite:///{home}/prefect.db")


def test_a_new_home_is_the_users(tmp_path: Path) -> None:
    found = chosen(tmp_path / "home")
    assert (found.home, found.migrate, found.reason) == (tmp_path / "home", True, None)


def test_a_database_of_the_installed_version_is_used_and_not_migrated(tmp_path: Path) -> None:
    database(tmp_path / "home", str(newest_revision()))
    found = chosen(tmp_path / "home")
    assert (found.home, found.migrate, found.reason) == (tmp_path / "home", False, None)


@pytest.mark.parametrize(
    "revision",
    [
        pytest.param(
            "ffffffffffff",
            marks=trial(
                "D", "`prefect.db` was written by a newer Prefect",
                source="PrefectHQ/prefect#10778",
                before="143 s of silence, then a traceback",
                now="the server uses a folder of overlap; the file does not change",
            ),
        ),
        pytest.param(
            "9725c1cbee35",
            marks=trial(
                "D", "`prefect.db` was written by an older Prefect", source="own",
                before="the embedded server upgraded it, and the older Prefect no longer starts",
                now="the server uses a folder of overlap; the file does not change",
            ),
        ),
    ],
)  # fmt: skip
def test_a_database_of_another_version_is_left_alone(
    revision: str, tmp_path: Path, cache: Path
) -> None:
    file = database(tmp_path / "home", revision)
    before = file.read_bytes()
    found = chosen(tmp_path / "home")
    assert found.home == cache / OURS
    assert str(file) in str(found.reason)
    assert revision in str(found.reason)
    assert file.read_bytes() == before
    assert [*file.parent.iterdir()] == [file]


@trial(
    "D", "`prefect.db` is not a database", source="own",
    before="120 s of silence, then a traceback",
    now="the server uses a folder of overlap; the file does not change",
)  # fmt: skip
def test_a_damaged_database_is_left_alone(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "prefect.db").write_bytes(b"no database" * 1000)
    assert chosen(tmp_path / "home").home == cache / OURS
    assert (tmp_path / "home" / "prefect.db").read_bytes() == b"no database" * 1000


@trial(
    "D", "another program holds a lock on `prefect.db`", source="PrefectHQ/prefect#10188",
    before="the server waits for the lock, then fails",
    now="after one second the server uses a folder of overlap",
)  # fmt: skip
def test_a_locked_database(tmp_path: Path, cache: Path) -> None:
    file = database(tmp_path / "home", str(newest_revision()))
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        found = chosen(tmp_path / "home")
    assert found.home == cache / OURS
    assert "locked" in str(found.reason)


@trial(
    "D", "PREFECT_HOME is a file", source="own", before="a traceback",
    now="the server uses a folder of overlap",
)  # fmt: skip
def test_a_home_that_is_a_file(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "home").write_text("")
    assert chosen(tmp_path / "home").home == cache / OURS


@trial(
    "D", "PREFECT_SERVER_DATABASE_CONNECTION_URL names a PostgreSQL server that does not answer",
    source="own", before="120 s of silence, then a traceback",
    now="the embedded server uses an SQLite file of overlap, and never migrates the user's server",
)  # fmt: skip
def test_a_database_server_is_not_used(tmp_path: Path, cache: Path) -> None:
    url = "postgresql+asyncpg://prefect:secret@127.0.0.1:9/prefect"
    found = embedded_storage(tmp_path / "home", url)
    assert found.database == f"sqlite+aiosqlite:///{cache / OURS}/prefect.db"
    assert "secret" not in str(found.reason)


def test_nowhere_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    with raises(UserError, "no-prefect-home"):
        chosen(tmp_path / "file")


def test_our_database_of_an_interrupted_start_is_upgraded(tmp_path: Path) -> None:
    file = database(tmp_path / "home", "9725c1cbee35")
    assert database_fault(file)
    assert database_fault(file, any_revision=True) is None


@trial(
    "D", "variables of uvicorn, of Python and of platforms: `WEB_CONCURRENCY=4`, `UVICORN_PORT`, "
    "`PYTHONWARNINGS=error`", source="own",
    before="they reached the embedded server, which listened elsewhere or ended",
    now="the embedded server does not receive them",
)  # fmt: skip
def test_the_server_gets_an_environment_of_its_own(tmp_path: Path) -> None:
    user = {
        "PATH": "/bin", "HOME": "/h", "LC_ALL": "C", "HTTP_PROXY": "http://127.0.0.1:9",
        "WEB_CONCURRENCY": "4", "UVICORN_PORT": "1", "PYTHONWARNINGS": "error",
        "SSL_CERT_FILE": "/missing", "PREFECT_SERVER_API_AUTH_STRING": "a:b",
        "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": "false", "PREFECT_HOME": "/h/.prefect",
    }  # fmt: skip
    storage = EmbeddedStorage(tmp_path, "sqlite+aiosqlite:///x.db", migrate=True)
    found = embedded_server.server_environment(user, storage, "CRITICAL")
    assert {name for name in user if found.get(name) == user[name]} == {"PATH", "HOME", "LC_ALL"}
    assert found["PREFECT_HOME"] == str(tmp_path)
    assert found["PREFECT_SERVER_DATABASE_MIGRATE_ON_START"] == "true"


@trial(
    "D", "the embedded server ends at its start", source="PrefectHQ/prefect#15138",
    before="120 s of silence; the message did not contain the server's error",
    now="reported as soon as it ends, with the line of its output that names the error",
)  # fmt: skip
def test_a_server_that_ends_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import sys; print('OSError: no space', file=sys.stderr); sys.exit(3)"
    monkeypatch.setattr(embedded_server, "COMMAND", ["-c", code])
    storage = EmbeddedStorage(tmp_path, "sqlite+aiosqlite:///x.db", migrate=True)
    with raises(UserError, "embedded-server-failed") as caught:
        embedded_server.start(storage, 60, print)
    assert caught.value.fields["status"] == 3
    assert "(OSError: no space)" in str(caught.value)


@trial(
    "D", "`NO_PROXY=localhost,127.0.0.1,[::1]`", source="basicmachines-co/basic-memory#1541",
    before="a message about a server that does not answer", now="brackets are removed",
)  # fmt: skip
def test_loopback_is_excluded_from_proxies() -> None:
    given = {"NO_PROXY": "localhost,127.0.0.1,[::1]"}
    assert loopback_without_proxy(given)["no_proxy"] == "localhost,127.0.0.1,::1"
    assert loopback_without_proxy({"no_proxy": "*"})["NO_PROXY"] == "*"


@contextmanager
def answering(
    status: int, content: bytes, kind: str, when: threading.Event | None = None
) -> Iterator[str]:
    """An HTTP server with one answer, given after an event; yields its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if when is not None:
                when.wait(30)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()


def ask(url: str) -> str | None:
    """Ask a server for its version as `overlap run` does."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: url}):
        return servers._asked(url)


@pytest.mark.parametrize(
    ("status", "content", "kind", "code"),
    [
        pytest.param(
            200, b"<html>Sign in</html>", "text/html", "no-prefect-api",
            marks=trial(
                "D", "PREFECT_API_URL leads to the sign-in page of a proxy", source="own",
                before="a traceback", now="one sentence: this is not a Prefect API; exit code 2",
            ),
        ),
        pytest.param(
            404, b"{}", "application/json", "no-prefect-api",
            marks=trial(
                "D", "PREFECT_API_URL lacks `/api`", source="own",
                before="a traceback", now="one sentence that names the usual ending; exit code 2",
            ),
        ),
        pytest.param(
            200, b'"2.20.1"', "application/json", "server-version",
            marks=trial(
                "D", "the server has another major version of Prefect", source="own",
                before="a traceback", now="one sentence with both versions; exit code 2",
            ),
        ),
        pytest.param(
            401, b"{}", "application/json", "password-required",
            marks=trial(
                "D", "the server requires a password", source="own", before="a traceback",
                now="one sentence that names PREFECT_API_AUTH_STRING; exit code 2",
            ),
        ),
    ],
)  # fmt: skip
def test_servers_that_cannot_be_used(status: int, content: bytes, kind: str, code: str) -> None:
    with answering(status, content, kind) as url, raises(UserError, code):
        ask(url)


def test_a_server_of_this_version_and_a_busy_one() -> None:
    with answering(200, f'"{version("prefect")}"'.encode(), "application/json") as url:
        assert ask(url) is None
    with answering(503, b"", "text/plain") as url:
        assert ask(url) == "HTTP status 503"


def test_the_wait_for_a_silent_server_is_reported_before_it_answers() -> None:
    from prefect import __version__
    from prefect.settings import PREFECT_API_URL, temporary_settings

    told, notes = threading.Event(), []

    def warn(text: str) -> None:
        notes.append(text)
        told.set()

    with (
        answering(200, f'"{__version__}"'.encode(), "application/json", told) as url,
        temporary_settings({PREFECT_API_URL: url}),
    ):
        servers.connect(warn)
    (note,) = notes
    assert url in note


def test_a_server_that_is_not_there() -> None:
    with raises(UserError, "server-unreachable"):
        ask(f"http://127.0.0.1:{free_port()}/api")


def test_unreadable_certificates(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    assert certificates_fault(None) is None
    assert certificates_fault(str(tmp_path / "missing.pem")) == "No such file or directory"
    assert certificates_fault(str(tmp_path / "empty.pem"))


def test_an_error_elsewhere_is_not_one_of_settings() -> None:
    assert settings_fault(ValueError("x")) is None


@trial(
    "D", "`overlap serve` and `overlap deploy` with `ALL_PROXY=socks5://…` and a server on this "
    "machine", source="own", before="a traceback",
    now="the processes of flow runs get no SOCKS proxy; other proxies stay",
)  # fmt: skip
def test_processes_of_flow_runs_get_no_socks_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    with temporary_settings({PREFECT_API_URL: "https://prefect.example/api"}):
        servers.without_socks()
    assert "ALL_PROXY" in os.environ
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:4200/api"}):
        servers.without_socks()
    assert "ALL_PROXY" not in os.environ
    assert "HTTPS_PROXY" in os.environ


def test_the_profiles_of_prefect_are_found_without_importing_it() -> None:
    from prefect.settings.constants import DEFAULT_PROFILES_PATH

    assert embedded_server.installed_profiles() == DEFAULT_PROFILES_PATH


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Prefect home with a complete database, in an environment that names no server."""
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    database(tmp_path / "home", str(newest_revision()))
    return tmp_path / "home"


def test_a_complete_database_is_the_likely_storage(home: Path) -> None:
    assert likely_storage() == chosen(home)


def test_a_server_that_creates_its_database_is_not_launched_early(home: Path) -> None:
    (home / "prefect.db").unlink()
    assert chosen(home).migrate
    assert likely_storage() is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("PREFECT_API_URL", "http://127.0.0.1:4200/api"), ("PREFECT_PROFILE", "local"),
     ("PREFECT_SERVER_EPHEMERAL_ENABLED", "false"),
     ("prefect_api_url", "http://127.0.0.1:4200/api")],
)  # fmt: skip
def test_a_variable_may_name_another_server(
    name: str, value: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert likely_storage() is None


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("home/profiles.toml", '[profiles.x]\nPREFECT_API_URL = "http://127.0.0.1:4200/api"\n'),
        ("prefect.toml", '[api]\nurl = "http://127.0.0.1:4200/api"\n'),
        ("pyproject.toml", '[tool.prefect.api]\nurl = "http://127.0.0.1:4200/api"\n'),
        (".env", "PREFECT_API_URL=http://127.0.0.1:4200/api\n"),
        (".env", "prefect_api_url=http://127.0.0.1:4200/api\n"),
        ("prefect.toml", 'api.url = "http://127.0.0.1:4200/api"\n'),
        ("prefect.toml", 'profiles_path = "other.toml"\n'),
        ("pyproject.toml", '[tool]\nprefect = {server = {database = {name = "runs"}}}\n'),
        ("prefect.toml", "[api"),
        ("pyproject.toml", "[tool.prefect"),
        ("pyproject.toml", "tool = 1\ntool = 2\n"),
    ],
)
def test_a_file_may_name_another_server(home: Path, file: str, content: str) -> None:
    (home.parent / file).write_text(content)
    assert server_needed()
    assert likely_storage() is None


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("home/profiles.toml", '[profiles.x]\nPREFECT_LOGGING_LEVEL = "DEBUG"\n'),
        ("prefect.toml", '[logging]\nlevel = "DEBUG"\n'),
        ("pyproject.toml", '[project]\ndependencies = ["moto[server]", "uvicorn[api]"]\n'),
        ("pyproject.toml", "tool = 1\n"),
        ("pyproject.toml", '[tool.prefect.logging]\nlevel = "DEBUG"\n'),
        (".env", "API_URL=[server]\n"),
    ],
)
def test_other_settings_name_no_server(home: Path, file: str, content: str) -> None:
    (home.parent / file).write_text(content)
    assert not server_needed()


def test_the_files_of_this_project_name_no_server(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert not server_needed()


def test_a_launched_server_is_used_for_its_own_storage_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_server, "COMMAND", ["-c", "import time; time.sleep(60)"])
    storages = [EmbeddedStorage(tmp_path, f"sqlite+aiosqlite:///{n}.db", False) for n in "ab"]
    for storage in storages:
        embedded_server.launch(storage)
    other, own = embedded_server._launched
    assert embedded_server._taken(storages[1]) is own
    assert other.process.poll() is not None
    assert own.process.poll() is None
    assert embedded_server._taken(storages[1]) is None
    own.stop()


@pytest.mark.extended
def test_a_flow_on_the_launched_server(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "prefect.db").unlink()
    storage = chosen(home)  # creates the database
    embedded_server.launch(storage)
    (server,) = embedded_server._launched
    address = embedded_server.start(storage, 120, print)
    assert address.startswith(f"http://127.0.0.1:{server.port}/")
    assert embedded_server.is_embedded(address)
    from prefect import flow
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        temporary_settings,
    )

    @flow(name="small")
    def small() -> int | None:
        return PREFECT_FLOWS_HEARTBEAT_FREQUENCY.value()

    with temporary_settings({PREFECT_API_URL: address}), servers.connected(print):
        assert small() is None
    with closing(sqlite3.connect(home / "prefect.db")) as opened:
        (name,) = opened.execute("SELECT name FROM flow").fetchone()
        (state,) = opened.execute("SELECT state_type FROM flow_run").fetchone()
        (blocks,) = opened.execute("SELECT count(*) FROM block_type").fetchone()
    assert (name, state, blocks) == ("small", "COMPLETED", 0)


def test_closed_ports_are_reported_before_prefect_is_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = f"http://127.0.0.1:{free_port()}/api"
    monkeypatch.setenv("PREFECT_API_URL", url)
    with raises(UserError, "server-unreachable", address=url):
        check_ports(None, print)
    monkeypatch.delenv("PREFECT_API_URL")
    notes: list[str] = []
    check_ports(f"tcp://127.0.0.1:{free_port()}", notes.append)
    assert len(notes) == 1
    with socket.create_server(("127.0.0.1", 0)) as listening:
        check_ports(f"tcp://127.0.0.1:{listening.getsockname()[1]}", notes.append)
    check_ports("inproc://10.0.0.1/8856/1", notes.append)
    assert len(notes) == 1
