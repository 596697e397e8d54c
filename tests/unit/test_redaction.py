"""Masking of secrets of the environment and of addresses in errors, logs and configuration."""

import io
import logging

import pytest
from pydantic import ValidationError

from overlap.config import RunConfig
from overlap.config.loading import configure
from overlap.errors import ConfigError, MemberError, StorageError, UnfitWorkerError, UserError
from overlap.io.location import Location
from overlap.redaction import hide_in_logs, in_address, is_secret, masked, secret_keys
from support.errors import raises

SECRET = "planted/9f2c+1d"


@pytest.mark.parametrize(
    "name",
    ["AWS_SECRET_ACCESS_KEY", "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "POSTGRES_PASSWORD",
     "AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCOUNT_KEY", "GITHUB_TOKEN", "secret"],
)  # fmt: skip
def test_names_of_secrets(name: str) -> None:
    assert is_secret(name)
    assert masked(f"before {SECRET} after", {name: SECRET}) == "before *** after"


@pytest.mark.parametrize(
    "name", ["AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "HOME", "KEYBOARD", "TOKENS_PATH"]
)
def test_names_of_no_secrets(name: str) -> None:
    assert masked(SECRET, {name: SECRET}) == SECRET


def test_a_secret_within_another_is_masked_too() -> None:
    given = {"A_TOKEN": SECRET, "B_TOKEN": f"{SECRET}-longer"}
    assert masked(f"{SECRET}-longer {SECRET}", given) == "*** ***"


def test_a_user_and_a_password() -> None:
    given = {"PREFECT_API_AUTH_STRING": f"admin:{SECRET}"}
    assert masked(f"admin:{SECRET} and {SECRET}", given) == "*** and ***"


def test_the_password_of_a_database_address() -> None:
    given = {"PREFECT_API_DATABASE_CONNECTION_URL": "postgresql+asyncpg://me:hidden-pw@host/db"}
    assert masked("FATAL: hidden-pw is wrong", given) == "FATAL: *** is wrong"
    assert masked("at postgresql+asyncpg://me:other@host/db", {}).endswith("://me:***@host/db")


def test_the_path_of_a_secret_file_is_not_masked(tmp_path) -> None:
    file = tmp_path / "key.json"
    file.touch()
    assert masked(f"{file}: no", {"GOOGLE_APPLICATION_CREDENTIALS": str(file)}) == f"{file}: no"


def test_short_values_are_not_masked() -> None:
    assert masked("test of a test", {"AWS_SECRET_ACCESS_KEY": "test"}) == "test of a test"


@pytest.mark.parametrize(
    ("address", "holds"),
    [
        ("s3://bucket/data", False),
        ("abfs://box@account.dfs.core.windows.net/data", False),
        ("/data/a:b@c", False),
        ("tcp://10.0.0.1:8786", False),
        ("s3://key:secret@bucket/data", True),
        ("zip://train::https://me:secret@host/data.zip", True),
        ("https://host/data.zip?sig=abc", True),
        ("https://host/data.zip?X-Amz-Security-Token=abc", True),
    ],
)
def test_addresses_with_passwords(address: str, holds: bool) -> None:
    assert in_address(address) is holds
    if holds:
        with raises(UserError, "secret-in-address") as refused:
            Location.of(address)
        assert "secret" not in str(refused.value).replace("SECRET", "")


@pytest.mark.parametrize("kind", [UserError, StorageError, MemberError])
def test_no_error_contains_a_secret(kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_PASSWORD", SECRET)
    assert str(kind(f"{SECRET} is wrong")) == "*** is wrong"
    assert str(UnfitWorkerError("tcp://x", f"no {SECRET}")) == "tcp://x: no ***"


def test_no_log_record_contains_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_PASSWORD", SECRET)
    before = logging.getLogRecordFactory()
    stream = io.StringIO()
    handler, logger = logging.StreamHandler(stream), logging.getLogger("planted")
    logger.addHandler(handler)
    try:
        hide_in_logs()
        logger.warning("%s: %d", SECRET, 1)
        logger.warning("no", exc_info=RuntimeError(SECRET))
    finally:
        logger.removeHandler(handler)
        logging.setLogRecordFactory(before)
    output = stream.getvalue()
    assert output.startswith("***: 1\n")
    assert output.endswith("RuntimeError: ***\n")
    assert SECRET not in output


def test_a_configuration_with_a_secret_is_refused() -> None:
    values = {"env": {"AWS_SECRET_ACCESS_KEY": SECRET, "A": 1}, "x": ["s3://a:b@c"]}
    assert secret_keys({"arguments": values}) == [
        "arguments.env.AWS_SECRET_ACCESS_KEY", "arguments.x",
    ]  # fmt: skip
    given = {"data": "D", "cluster": {"kind": "a.B", "arguments": values}}
    with pytest.raises(ConfigError, match=r"cluster\.arguments\.env\.AWS_SECRET") as refused:
        configure(given)
    assert SECRET not in str(refused.value)
    with pytest.raises(ValidationError):
        RunConfig.model_validate(given)


def test_a_server_refuses_a_form_with_a_password() -> None:
    jsonschema = pytest.importorskip("jsonschema")  # what the server checks parameters with
    schema = RunConfig.model_json_schema()
    check = jsonschema.Draft202012Validator(schema)
    assert check.is_valid({"data": "s3://bucket/data", "workspace": "/w"})
    assert check.is_valid({"data": "D", "cluster": {"address": "tcp://127.0.0.1:8786"}})
    for wrong in (
        {"data": "s3://me:secret@bucket/data"},
        {"data": "D", "workspace": "s3://me:secret@bucket/w"},
        {"data": "D", "cluster": {"address": "tls://me:secret@host:8786"}},
    ):
        assert not check.is_valid(wrong)
