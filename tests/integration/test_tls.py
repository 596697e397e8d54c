"""TLS between client, scheduler and workers, told by Dask's usual configuration."""

import datetime as dt
import os
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path

import dask
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from flows.clusters.opening import open_cluster
from flows.clusters.preflight import Work
from overlap.config import ClusterConfig
from overlap.errors import ClusterError
from overlap.io.location import Location
from support.dask_processes import GPU, dask_process
from support.errors import printed_code, raises
from support.processes import free_port
from tasks.cluster import Cluster, connect
from tasks.fan_out import fan_out

pytestmark = [
    pytest.mark.nightly,
    # Where another scheduler has the usual port, Dask says so, takes a free one, and leaves the
    # socket of its first attempt to the garbage collector.
    pytest.mark.filterwarnings("ignore:Port .* is already in use"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def certificates(folder: Path) -> tuple[Path, Path, Path]:
    """A new authority, and a certificate with its key for everyone on this machine."""
    now = dt.datetime.now(dt.UTC)
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("authority", "dask")}
    names = {
        name: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"overlap test {name}")])
        for name in keys
    }
    files = (folder / "authority.pem", folder / "dask.pem", folder / "dask.key")
    for name, file in zip(keys, files, strict=False):
        made = (
            x509.CertificateBuilder()
            .subject_name(names[name])
            .issuer_name(names["authority"])
            .public_key(keys[name].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(minutes=5))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=name == "authority", path_length=None), True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False
            )
            .sign(keys["authority"], hashes.SHA256())
        )
        file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[2].write_bytes(
        keys["dask"].private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The configuration of a Dask that speaks TLS, and nothing else."""
    authority, certificate, key = map(str, certificates(tmp_path_factory.mktemp("tls")))
    told = {"require-encryption": True, "tls.ca-file": authority}
    for role in ("scheduler", "worker", "client"):
        told |= {f"tls.{role}.cert": certificate, f"tls.{role}.key": key}
    return {f"distributed.comm.{name}": value for name, value in told.items()}


@pytest.fixture(scope="module")
def secure(settings: dict[str, object]) -> dict[str, str]:
    """The same as environment variables."""
    return {
        "DASK_" + name.upper().replace(".", "__").replace("-", "_"): str(value)
        for name, value in settings.items()
    }


@pytest.fixture(scope="module")
def address(secure: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A scheduler, a worker and a worker with GPU that speak TLS."""
    folder, port = tmp_path_factory.mktemp("dask"), free_port()
    address, environment = f"tls://127.0.0.1:{port}", os.environ | secure
    here = ("--protocol", "tls", "--host", "127.0.0.1", "--no-dashboard")
    each = ("worker", address, *here, "--nthreads", "1", "--local-directory", str(folder))
    commands = {
        "scheduler": ("scheduler", *here, "--port", str(port)),
        "cpu": each,
        "gpu": (*each, *GPU),
    }
    with ExitStack() as opened:
        for name, command in commands.items():
            opened.enter_context(dask_process(*command, environment=environment, log=folder / name))
        yield address


def test_a_client_without_a_certificate_is_refused(address: str) -> None:
    plain = address.replace("tls://", "tcp://")
    for wrong, code in ((address, "no-certificate"), (plain, "scheduler-unreachable")):
        with (
            raises(ClusterError, code, address=wrong),
            connect(Cluster(address=wrong), 3.0),
        ):
            pass


def test_the_same_configuration_for_all(address: str, settings, tmp_path: Path) -> None:
    """Also of the local cluster, where Dask is told to refuse everything else."""
    place = Location.of(tmp_path / "workspace")
    with dask.config.set(settings):
        for config in (ClusterConfig(address=address), ClusterConfig(cpu_workers=1)):
            with open_cluster(config, place, Work(training=False)) as cluster:
                assert cluster.address.startswith("tls://")
                with connect(cluster) as client:
                    assert fan_out(client, cluster, abs, range(9)) == [*range(9)]
        plain = Cluster(address=address.replace("tls://", "tcp://"))
        with (
            raises(ClusterError, "unencrypted", address=plain.address),
            connect(plain),
        ):
            pass


def test_a_whole_run(overlap, address: str, secure, data: Path, tiny: Path, tmp_path: Path) -> None:
    run = ("run", "--data", data, "--config", tiny, "--members", 1, "--cluster", address)
    done = overlap(*run, "--workspace", tmp_path / "w", **secure)
    assert "ensemble of 1" in done.stdout
    refused = overlap(*run, "--workspace", tmp_path / "other", code=2)
    assert printed_code(refused.stderr) == "no-certificate"
