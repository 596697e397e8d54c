"""The environment of Prefect and of the network, as a whole command meets it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from support.errors import printed_code
from support.processes import free_port
from support.trials import trial


@pytest.mark.extended
@trial(
    "D",
    "`HTTP_PROXY` at a dead port, `ALL_PROXY=socks5://…`, `NO_PROXY=localhost,127.0.0.1,[::1]`, "
    "`fe80::/10` in it, `SSL_CERT_FILE` at a missing file, `WEB_CONCURRENCY=3`",
    source="encode/httpx#3221",
    before="141 s, then a traceback",
    now="the run ends with exit code 0 and computes nothing",
)
def test_proxies_and_certificates_do_not_reach_the_loopback(run, again) -> None:
    dead = "http://127.0.0.1:9"
    extra = {
        "HTTP_PROXY": dead, "http_proxy": dead, "HTTPS_PROXY": dead,
        "ALL_PROXY": "socks5://127.0.0.1:1080", "WEB_CONCURRENCY": "3",
        "NO_PROXY": "localhost,127.0.0.1,[::1],fe80::/10", "SSL_CERT_FILE": "/missing.pem",
    }  # fmt: skip
    done = run(*again, extra=extra)
    assert done.code == 0, done.err
    assert "submission.csv" in done.out


@trial(
    "D",
    "HOME=/proc/1, which cannot be written",
    source="own",
    before="a traceback",
    now="the run ends with exit code 0; its database is in a folder of overlap",
)
def test_an_unwritable_home(run, again, tmp_path: Path) -> None:
    done = run(*again, extra={"HOME": "/proc/1", "XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert done.code == 0, done.err
    assert "/proc/1/.prefect" in done.err
    assert [*(tmp_path / "cache" / "overlap").glob("prefect-*/prefect.db")]


@trial(
    "D",
    "a database of another version of Prefect in PREFECT_HOME",
    source="PrefectHQ/prefect#10778",
    before="143 s, then a traceback",
    now="the run ends with exit code 0; the database does not change",
)
def test_a_database_of_another_version(run, again, tmp_path: Path) -> None:
    file = tmp_path / "home" / ".prefect" / "prefect.db"
    file.parent.mkdir()
    with closing(sqlite3.connect(file)) as opened:
        opened.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        opened.execute("INSERT INTO alembic_version VALUES ('ffffffffffff')")
        opened.commit()
    before = file.read_bytes()
    done = run(*again)
    assert done.code == 0, done.err
    assert "revision ffffffffffff" in done.err
    assert file.read_bytes() == before


@pytest.mark.extended
@pytest.mark.parametrize(
    ("extra", "code", "names"),
    [
        pytest.param(
            {"PREFECT_SERVER_EPHEMERAL_ENABLED": "false"},
            "no-server",
            "PREFECT_SERVER_EPHEMERAL_ENABLED",
            marks=trial(
                "D",
                "`PREFECT_SERVER_EPHEMERAL_ENABLED=false` without PREFECT_API_URL",
                source="own",
                before="a traceback",
                now="one sentence with the remedy; exit code 2",
            ),
        ),
        pytest.param(
            {"PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false"},
            "no-server",
            "PREFECT_SERVER_EPHEMERAL_ENABLED",
            marks=trial(
                "D",
                "the same setting under its former name",
                source="own",
                before="ignored",
                now="one sentence with the remedy; exit code 2",
            ),
        ),
        pytest.param(
            {"PREFECT_CLIENT_MAX_RETRIES": "many"},
            "prefect-settings",
            "PREFECT_CLIENT_MAX_RETRIES",
            marks=trial(
                "D",
                "a setting of Prefect with an invalid value",
                source="own",
                before="a traceback",
                now="one sentence that names the variable; exit code 2",
            ),
        ),
        pytest.param(
            {"PREFECT_LOGGING_SETTINGS_PATH": "/etc/passwd"},
            "prefect-settings",
            "PREFECT_LOGGING_SETTINGS_PATH",
            marks=trial(
                "D",
                "`PREFECT_LOGGING_SETTINGS_PATH` names a file of another kind",
                source="own",
                before="a traceback: cannot import name 'flow'",
                now="one sentence that names the variable; exit code 2",
            ),
        ),
    ],
)
def test_settings_that_cannot_work(run, again, extra, code: str, names: str) -> None:
    done = run(*again, extra=extra)
    assert done.code == 2
    assert printed_code(done.err) == code
    assert names in done.err
    assert "Traceback" not in done.err


@pytest.mark.extended
@trial(
    "D",
    "`pyproject.toml` or `prefect.toml` in the current folder is broken",
    source="own",
    before="a traceback",
    now="one sentence that names the file; exit code 2",
)
def test_a_broken_file_of_the_current_folder(run, again, tmp_path: Path) -> None:
    (tmp_path / "prefect.toml").write_text("[api\n")
    done = run(*again)
    assert (done.code, printed_code(done.err)) == (2, "prefect-settings")
    assert "prefect.toml" in done.err


@pytest.mark.extended
@trial(
    "D",
    "`profiles.toml` in PREFECT_HOME is broken",
    source="own",
    before="a traceback",
    now="one sentence; exit code 2",
)
def test_broken_profiles(run, again, tmp_path: Path) -> None:
    (tmp_path / "home" / ".prefect").mkdir()
    (tmp_path / "home" / ".prefect" / "profiles.toml").write_text("[profiles.x\n")
    done = run(*again)
    assert (done.code, printed_code(done.err)) == (2, "prefect-settings")


@pytest.mark.extended
@trial(
    "D",
    "PREFECT_API_URL at a server that is gone",
    source="PrefectHQ/prefect#6759",
    before="exit code 1",
    now="one sentence with the remedy; exit code 2",
)
def test_a_server_that_is_gone(run, again) -> None:
    url = f"http://127.0.0.1:{free_port()}/api"
    done = run(*again, extra={"PREFECT_API_URL": url})
    assert (done.code, printed_code(done.err)) == (2, "server-unreachable")
    assert url in done.err
