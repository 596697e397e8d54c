"""`overlap run` in an environment that other tools have shaped."""

import json

import pytest

from support.errors import printed_code
from support.trials import trial


@trial(
    "E",
    "a new member under Jupyter's `MPLBACKEND`, a keras.json with `channels_first` and `torch`, "
    "`KERAS_MAX_EPOCHS=1`, `PYTHONWARNINGS=error` and a Dask file of another cluster, all at once",
    source="own",
    before="every member fails",
    now="the member is trained with all of its epochs; its fingerprint is that of a plain run",
)
def test_a_member_is_trained_as_ever(run, finished, data, tiny, tmp_path) -> None:
    keras = tmp_path / "keras"
    keras.mkdir()
    (keras / "keras.json").write_text(
        json.dumps({"image_data_format": "channels_first", "floatx": "float16", "backend": "torch"})
    )
    dask = tmp_path / "dask.yaml"
    dask.write_text("distributed:\n  worker:\n    memory:\n      terminate: 0.001\n")
    extra = {
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "KERAS_HOME": str(keras),
        "KERAS_MAX_EPOCHS": "1",
        "PYTHONWARNINGS": "error",
        "DASK_CONFIG": str(dask),
        "NUMBA_DISABLE_JIT": "1",
        "TZ": "Pacific/Apia",
    }
    workspace = tmp_path / "w"
    done = run(
        "run", "--data", data, "--workspace", workspace, "--config", tiny, "--members", 1,
        extra=extra,
    )  # fmt: skip
    assert done.code == 0, done.err
    (record,) = (workspace / "members").glob("*/member.json")
    assert (finished.workspace / "members" / record.parent.name).is_dir()
    assert len(json.loads(record.read_bytes())["history"]) == 3


@pytest.mark.extended
@pytest.mark.parametrize(
    ("extra", "code"),
    [
        pytest.param(
            {"KERAS_BACKEND": "theano"}, "unknown-backend",
            marks=trial(
                "E", "`KERAS_BACKEND=theano overlap pool`", source="own",
                before="every member fails with a traceback",
                now="`unknown-backend`, exit code 2, before any work",
            ),
        ),
        pytest.param(
            {"DASK_CONFIG": "broken"}, "dask-settings",
            marks=trial(
                "E", "a Dask file that is no YAML", source="own", before="traceback",
                now="`dask-settings`, exit code 2",
            ),
        ),
    ],
)  # fmt: skip
def test_what_cannot_work_is_named(run, again, tmp_path, extra, code) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "x.yaml").write_text("a: [1\n b: {")
    done = run(*again, extra=extra)
    assert (done.code, printed_code(done.err)) == (2, code), done.err
    assert done.seconds < 60


@pytest.mark.extended
@trial(
    "E",
    "`PYTHONOPTIMIZE=2`, `LC_ALL=C` and `PYTHONUTF8=0`",
    source="own",
    before="correct",
    now="the help and the table of models are printed",
)
def test_an_optimised_interpreter_in_ascii(run, finished) -> None:
    extra = {"PYTHONOPTIMIZE": "2", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = run("models", "list", "--workspace", finished.workspace, extra=extra)
    assert done.code == 0, done.err
