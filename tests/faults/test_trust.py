"""Secrets are planted where a run has them, and searched for wherever text goes."""

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from overlap.errors import ChildError
from overlap.io.location import Location
from overlap.system.child_process import run_child
from support.processes import OVERLAP, members_of, object_store, prefect_server

STORE, SERVER, OTHER = "planted-store-5d1e", "planted-server-8a2f", "planted-other-c07b"
PLANTED = (STORE, SERVER, OTHER)
TELLS_ALL = """
import os, sys
from overlap.system.child_process import child_main
from overlap.errors import MemberError

def work(emit):
    print(dict(os.environ), file=sys.stderr)
    raise MemberError(f"the password {os.environ['DATABASE_PASSWORD']} is wrong")

sys.exit(child_main(work))
"""


def test_a_process_that_tells_all_it_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its log, which the workspace keeps, and the error, which Prefect keeps."""
    (tmp_path / "planted.py").write_text(TELLS_ALL)
    monkeypatch.setenv("DATABASE_PASSWORD", OTHER)
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, [os.getenv("PYTHONPATH")])])
    )
    log = Location.of(tmp_path / "log.txt")
    with pytest.raises(ChildError) as raised:
        run_child("planted", [], lambda _event: None, log=log)
    kept = log.read_bytes().decode()
    assert "'DATABASE_PASSWORD': '***'" in kept
    assert str(raised.value).endswith("the password *** is wrong")
    assert OTHER not in kept + str(raised.value)


@pytest.mark.nightly
def test_no_secret_of_a_run_is_seen_anywhere(data: Path, tiny: Path, tmp_path: Path) -> None:
    """In an environment full of them: a run that ends well, and some that do not."""
    home = tmp_path / "server"
    home.mkdir()
    planted = {"DATABASE_PASSWORD": OTHER, "PREFECT_HOME": str(home)}
    guarded = os.environ | planted | {"PREFECT_SERVER_API_AUTH_STRING": f"admin:{SERVER}"}
    with object_store(STORE) as store, prefect_server(home, guarded) as url:
        import s3fs

        files = s3fs.S3FileSystem(
            key="test",
            secret=STORE,
            endpoint_url=store["AWS_ENDPOINT_URL"],
            skip_instance_cache=True,
        )
        files.mkdir("bucket")
        files.put(str(data), "bucket/data", recursive=True)
        environment = os.environ | store | planted
        environment |= {
            "PREFECT_API_URL": f"{url}/api",
            "PREFECT_API_AUTH_STRING": f"admin:{SERVER}",
        }

        def printed(*arguments: object, code: int, **other: str) -> str:
            done = subprocess.run(
                [OVERLAP, *map(str, arguments)], env=environment | other,
                capture_output=True, text=True, timeout=280, check=False,
            )  # fmt: skip
            assert done.returncode == code, done.stdout + done.stderr
            return done.stdout + done.stderr

        run = ("run", "--verbose", "--config", tiny, "--members", 1, "--data", "s3://bucket/data")
        outputs = [
            printed(*run, "--workspace", "s3://bucket/w", code=0),
            printed(*run, "--workspace", "s3://nowhere/w", code=1),
            printed(*run, "--workspace", f"s3://test:{STORE}@bucket/w", code=2),
            printed(
                *run, "--workspace", "s3://bucket/w", code=2, PREFECT_API_AUTH_STRING=f"a:{OTHER}"
            ),
        ]
        kept = [files.cat(file) for file in files.find("bucket/w")]
        assert any(file.endswith("member.json") for file in files.find("bucket/w"))
    server = [file.read_bytes() for file in home.rglob("*") if file.is_file()]
    assert any(content.startswith(b"SQLite format 3") for content in server)
    everything = b"\n".join([*(text.encode() for text in outputs), *kept, *server])
    assert b"retrain" in everything
    assert [secret for secret in PLANTED if secret.encode() in everything] == []


@pytest.mark.nightly
def test_a_run_listens_on_the_loopback_only(
    data: Path, tiny: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """API, scheduler, workers and whatever else it starts, while a member trains."""
    alone = {name: value for name, value in environment.items() if name != "PREFECT_API_URL"}
    command = [OVERLAP, "run", "--data", str(data), "--workspace", str(tmp_path / "w")]
    command += ["--config", str(tiny), "--set", "training.epochs=1000"]
    with subprocess.Popen(
        command, env=alone, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as run:
        try:
            deadline = time.monotonic() + 120
            while not members_of(tmp_path / "w"):
                assert run.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.2)
            below = psutil.Process(run.pid).children(recursive=True)
            listening = [
                (process.name(), connection.laddr.ip)
                for process in (psutil.Process(run.pid), *below)
                for connection in process.net_connections("inet")
                if connection.status == psutil.CONN_LISTEN
            ]
        finally:
            run.send_signal(signal.SIGINT)
            run.wait(30)
    assert len(listening) >= 4, listening  # API, scheduler, nannies, workers
    assert {address for _, address in listening} <= {"127.0.0.1", "::1"}, listening
