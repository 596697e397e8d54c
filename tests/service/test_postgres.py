"""The server on PostgreSQL, data and workspace on an object store: 15 members."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import s3fs

from support.processes import free_port, object_store, stop
from support.running_service import Service, missing, serving

pytestmark = pytest.mark.nightly

MEMBERS = 15
SECRET = "planted-secret-8f2c1d"
"""Key of the object store; nothing that a person or a server sees may hold it."""
KEYS = {"key": "test", "secret": SECRET}


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """Address of a database on a PostgreSQL server of this test's."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    found = shutil.which("initdb") or (programs and str(programs[-1] / "initdb"))
    if not found:
        missing("no PostgreSQL server on this machine (Debian's package postgresql)")
    folder, port = Path(tempfile.mkdtemp(prefix="overlap-postgres-")), free_port()
    other: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL does not run as root
        shutil.chown(folder, "postgres")
        other = ["runuser", "-u", "postgres", "--"]
    files = folder / "data"
    made = [*other, found, "--auth=trust", "--username=overlap", f"--pgdata={files}"]
    subprocess.run(made, check=True, capture_output=True)
    server = subprocess.Popen(
        [*other, str(Path(found).resolve().with_name("postgres")), "-D", files, "-p", str(port),
         "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield f"postgresql+asyncpg://overlap@127.0.0.1:{port}/postgres"
    finally:
        for child in psutil.Process(server.pid).children():
            child.terminate()  # below runuser
        stop(server)
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def store() -> Iterator[dict[str, str]]:
    """Environment in which s3:// is a server of this test's."""
    with object_store(SECRET) as environment:
        yield environment


@pytest.fixture(scope="module")
def on_postgres(
    database: str, store: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("postgres")
    with serving(folder, PREFECT_SERVER_DATABASE_CONNECTION_URL=database, **store) as running:
        yield running


def test_fifteen_members_on_postgresql_and_an_object_store(
    on_postgres: Service, data: Path, tiny: Path
) -> None:
    service = on_postgres
    store = s3fs.S3FileSystem(endpoint_url=service.environment["AWS_ENDPOINT_URL"], **KEYS)
    store.mkdir("bucket")
    store.put(str(data), "bucket/data", recursive=True)
    members = ("--members", MEMBERS)
    service.deploy("s3://bucket/data", "s3://bucket/w", tiny, *members, cpu_workers=2)
    service.worker()
    run = service.start_run("retrain/retrain")
    state, message = service.ended(run, 900)
    assert state == "COMPLETED", message
    assert f"of {MEMBERS} members" in message
    listed = service.overlap("models", "list", "--workspace", "s3://bucket/w")
    assert message.split()[1] in listed

    shown = [
        service.call("POST", f"/{what}/filter", {"limit": 200})
        for what in ("flow_runs", "task_runs", "logs", "artifacts", "deployments")
    ]
    assert len(shown[1]) > MEMBERS
    logs = [log.read_text(errors="replace") for log in service.folder.glob("*.log")]
    texts = [file for file in store.find("bucket/w") if file.endswith((".json", ".txt", ".csv"))]
    assert sum(file.endswith("member.json") for file in texts) == MEMBERS
    said = "".join([str(shown), *logs, *(store.cat(file).decode() for file in texts)])
    assert SECRET not in said
