"""Errors keep code and fields wherever they travel, and never a secret."""

import inspect
import pickle

import pytest

from overlap import errors
from overlap.errors import NotReadyError, OverlapError, UnfitWorkerError, UserError
from support.errors import raises

KINDS = [
    kind
    for kind in vars(errors).values()
    if inspect.isclass(kind) and issubclass(kind, OverlapError)
]


@pytest.mark.parametrize("kind", KINDS)
def test_code_and_fields_survive_pickling(kind: type[OverlapError]) -> None:
    args = ("tcp://a", "reason") if kind is UnfitWorkerError else ("reason",)
    for error in (kind(*args), kind(*args, code="special", path="p", limit=3)):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is kind
        assert str(again) == str(error)
        assert (again.code, again.fields) == (error.code, error.fields)


def test_classes_have_codes_of_their_own() -> None:
    codes = [kind.default_code for kind in KINDS]
    assert len(set(codes)) == len(KINDS) > 10


def test_fields_contain_no_secret() -> None:
    error = UserError("s3://key:hunter2@bucket", code="x", url="s3://key:hunter2@bucket")
    assert "hunter2" not in f"{error} {error.fields}"


def test_expected_errors_match_code_and_fields() -> None:
    def fail() -> None:
        raise NotReadyError("W: no champion", code="no-champion", workspace="W")

    with raises(NotReadyError, "no-champion", workspace="W"):
        fail()
    for code, workspace in (("no-champion", "V"), ("other", "W")):
        with pytest.raises(AssertionError), raises(NotReadyError, code, workspace=workspace):
            fail()
