"""Settings of other tools do not reach our processes, their results or their pictures."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import dask
import numpy as np
import pytest

from flows.clusters.opening import own_settings
from overlap.errors import ConfigError
from overlap.system.child_process import CHILD_ENV
from overlap.system.foreign_settings import (
    ignore_foreign_settings,
    packages_hidden,
    without_foreign_settings,
)
from overlap.training.backends.choice import check_backend
from support.errors import raises
from support.trials import trial

KERAS = """
import json, keras, numpy as np
from overlap.training.device import prepare_device
prepare_device()
print(json.dumps([keras.config.floatx(), keras.config.epsilon(), keras.config.image_data_format(),
    keras.config.dtype_policy().name, keras.config.backend(), keras.config.max_epochs()]))
"""
DEFAULTS = ["float32", 1e-7, "channels_last", "float32", "tensorflow", None]


def python(code: str, environment: dict[str, str], folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False,
        env=environment, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def child(**extra: str) -> dict[str, str]:
    """The environment in which `run_child` starts a process."""
    return without_foreign_settings({**os.environ, **extra})


IMPORTED = """
import os, sys
before = dict(os.environ)
from overlap.training.keras_import import keras
import matplotlib
assert {n: v for n, v in os.environ.items() if n in before} == before
print(keras.config.floatx(), keras.config.image_data_format(), keras.config.max_epochs(),
    matplotlib.rcParams._get_backend_or_none())
"""


@pytest.mark.extended
@pytest.mark.parametrize(("backend", "kept"), [("absent", "None"), ("svg", "svg")])
def test_keras_in_a_process_of_the_user(tmp_path: Path, backend: str, kept: str) -> None:
    (tmp_path / "matplotlibrc").write_bytes(b"\xff\xfe")
    (tmp_path / "keras.json").write_text(
        json.dumps({"floatx": "float16", "image_data_format": "channels_first"})
    )
    extra = {"MPLBACKEND": backend, "KERAS_HOME": str(tmp_path), "KERAS_MAX_EPOCHS": "1"}
    extra["XLA_FLAGS"] = "--xla_dump_to=/nonexistent"
    found = python(IMPORTED, {**os.environ, **extra}, tmp_path).split()
    assert found == ["float32", "channels_last", "None", kept]


@pytest.mark.extended
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(
            {"image_data_format": "channels_first"},
            marks=trial(
                "E", "keras.json with `image_data_format: channels_first`",
                source="ipazc/mtcnn#101",
                before="every member fails; on an accelerator the wrong axis",
                now="channels last",
            ),
        ),
        pytest.param(
            {"floatx": "float16", "epsilon": 0.01},
            marks=trial(
                "E", "keras.json with `floatx: float16` and another epsilon", source="own",
                before="trained in half precision", now="float32, 1e-7",
            ),
        ),
        pytest.param(
            {"backend": "torch"},
            marks=trial(
                "E", "keras.json with `backend: torch`, which is not installed", source="own",
                before="a traceback of 30 lines", now="TensorFlow",
            ),
        ),
        pytest.param(
            {"floatx": "bfloat16", "epsilon": 1},
            marks=trial(
                "E", "keras.json with values that Keras refuses", source="own",
                before="ValueError while Keras is imported", now="float32, 1e-7",
            ),
        ),
    ],
)  # fmt: skip
def test_keras_json_does_not_count(tmp_path: Path, content: dict[str, object]) -> None:
    (tmp_path / ".keras").mkdir()
    file = tmp_path / ".keras" / "keras.json"
    file.write_text(json.dumps(content))
    environment = child(HOME=str(tmp_path), KERAS_HOME=str(tmp_path / ".keras"))
    assert json.loads(python(KERAS, environment, tmp_path)) == DEFAULTS
    assert json.loads(file.read_text()) == content


@pytest.mark.extended
@trial(
    "E",
    "`KERAS_MAX_EPOCHS=1 KERAS_MAX_STEPS_PER_EPOCH=1`, left over from an experiment",
    source="own",
    before="members of one epoch with one step, recorded as complete",
    now="all epochs",
)
def test_keras_limits_on_epochs(tmp_path: Path) -> None:
    environment = child(KERAS_MAX_EPOCHS="1", KERAS_MAX_STEPS_PER_EPOCH="1")
    assert json.loads(python(KERAS, environment, tmp_path)) == DEFAULTS


@pytest.mark.extended
def test_defaults_of_keras_are_set_without_a_clean_environment(tmp_path: Path) -> None:
    """As for a process that `run_child` did not start."""
    (tmp_path / "keras.json").write_text('{"floatx": "float64", "epsilon": 0.5}')
    environment = {**os.environ, "KERAS_HOME": str(tmp_path)}
    assert json.loads(python(KERAS, environment, tmp_path)) == DEFAULTS


@pytest.mark.extended
@trial(
    "E",
    "`MPLBACKEND=module://matplotlib_inline.backend_inline` of Jupyter, Colab and Kaggle",
    source="deeptools/deepTools#1416",
    before="every member fails: not a valid value for backend",
    now="Keras and the pictures are loaded",
)
def test_the_plot_backend_of_a_notebook(tmp_path: Path) -> None:
    inline = "module://matplotlib_inline.backend_inline"
    assert python("import keras; print(1)", child(MPLBACKEND=inline), tmp_path) == "1"
    ours = {**os.environ, "MPLBACKEND": inline}  # a flow that Prefect starts
    code = (
        "from overlap.reporting.plots.encoding import png\n"
        "from overlap.reporting.plots.style import drawing, plain_style\n"
        "with plain_style(): f = drawing()[0]\n"
    )
    assert python(code + "print(png(f)[1:4])", ours, tmp_path) == "b'PNG'"


PICTURE = """
import hashlib
from overlap.reporting.plots.encoding import png, svg
from overlap.reporting.plots.predictions import kl_histogram
import numpy as np
figure, _ = kl_histogram(np.linspace(0.0, 1234.5, 50))
print(hashlib.sha256(png(figure)).hexdigest())
print(hashlib.sha256(svg(figure, "x").encode()).hexdigest())
"""


@pytest.mark.extended
@trial(
    "E",
    "a file `matplotlibrc` in the current folder: other colours, `text.usetex`, decimal commas",
    source="own",
    before="other pictures; without TeX a traceback",
    now="the same pictures",
)
def test_matplotlibrc_does_not_count(tmp_path: Path) -> None:
    expected = python(PICTURE, dict(os.environ), tmp_path)
    (tmp_path / "matplotlibrc").write_text(
        "text.usetex: True\nfigure.facecolor: red\nsavefig.dpi: 30\naxes.formatter.use_locale: 1\n"
    )
    assert python(PICTURE, dict(os.environ), tmp_path) == expected


FEATURES = """
import hashlib
import numpy as np
from overlap.config import FeatureConfig
from overlap.features.compute import compute_features
config = FeatureConfig()
clips = np.random.default_rng(0).normal(size=(16, config.clip_samples)).astype(np.float32) / 10
print(hashlib.sha256(compute_features(clips, config).tobytes()).hexdigest())
"""


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> str:
    return python(FEATURES, dict(os.environ), tmp_path_factory.mktemp("plain"))


@pytest.mark.extended
@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(
            {"NUMBA_DISABLE_JIT": "1"},
            marks=trial(
                "E", "`NUMBA_DISABLE_JIT=1`", source="own",
                before="the slower way, whose features differ in the last bits",
                now="the same features, compiled",
            ),
        ),
        pytest.param(
            {"OMP_NUM_THREADS": "abc", "MKL_NUM_THREADS": "-1"},
            marks=trial(
                "E", "`OMP_NUM_THREADS=abc`", source="own", before="correct",
                now="the same features",
            ),
        ),
        pytest.param(
            {"LC_ALL": "xx_XX.UTF-8", "LANG": "C", "LC_NUMERIC": "de_DE.UTF-8"},
            marks=trial(
                "E", "`LC_ALL` names a locale that is not installed", source="own",
                before="correct", now="the same features",
            ),
        ),
        pytest.param(
            {"TMPDIR": "/no/such/folder", "NUMBA_CACHE_DIR": "/proc/1"},
            marks=trial(
                "E", "`TMPDIR` does not exist, `NUMBA_CACHE_DIR` is not writable", source="own",
                before="correct", now="the same features",
            ),
        ),
        pytest.param(
            {"PYTHONHASHSEED": "1", "TZ": "Pacific/Apia", "PYTHONUTF8": "0", "LC_ALL": "C"},
            marks=trial(
                "E", "another hash seed, time zone and encoding", source="own", before="correct",
                now="the same features",
            ),
        ),
    ],
)  # fmt: skip
def test_features_do_not_depend_on_it(tmp_path: Path, features: str, extra: dict[str, str]) -> None:
    assert python(FEATURES, child(**extra), tmp_path) == features


LIBROSA = """
from overlap.config import FeatureConfig
from overlap.features.reference import mel_filters
config = FeatureConfig()
mel_filters(config, config.resolutions[0])
"""


@pytest.mark.extended
@trial(
    "E",
    "`LIBROSA_CACHE_DIR`: filters from a cache that anyone may have written",
    source="librosa documentation, Caching",
    before="pickles of the cache are loaded",
    now="the cache is not used",
)
def test_no_cache_of_librosa(tmp_path: Path) -> None:
    python(LIBROSA, {**os.environ, "LIBROSA_CACHE_DIR": str(tmp_path / "cache")}, tmp_path)
    assert not (tmp_path / "cache").exists()


def test_what_is_kept_and_what_is_not() -> None:
    given = {
        "PATH": "/bin",
        "KERAS_BACKEND": "jax",
        "TF_CPP_MIN_LOG_LEVEL": "1",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "JAX_PLATFORMS": "cpu",
        "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.4",
        "CUDA_VISIBLE_DEVICES": "1",
    }
    foreign = {
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "DNNL_DEFAULT_FPMATH_MODE": "BF16",
        "TF_XLA_FLAGS": "--tf_xla_auto_jit=2",
        "TF_CONFIG": "{}",
        "JAX_ENABLE_X64": "1",
        "JAX_DEFAULT_MATMUL_PRECISION": "bfloat16",
        "NVIDIA_TF32_OVERRIDE": "1",
        "PYTHONWARNINGS": "error",
        "ZARR_ARRAY__ORDER": "F",
        "MATPLOTLIBRC": "/x",
    }
    flags = "--xla_gpu_cuda_data_dir=/opt/cuda --xla_cpu_enable_fast_math=true"
    assert without_foreign_settings({**given, **foreign, "XLA_FLAGS": flags}) == {
        **given,
        "XLA_FLAGS": "--xla_gpu_cuda_data_dir=/opt/cuda",
        "MPLBACKEND": "agg",
        "KERAS_HOME": os.devnull,
        "TF_ENABLE_ONEDNN_OPTS": "1",
    }


@pytest.mark.extended
@trial(
    "E",
    "`XLA_FLAGS` or `TF_XLA_FLAGS` with a flag that does not exist",
    source="own",
    before="the process is aborted: Unknown flags in XLA_FLAGS",
    now="a member's process starts without them",
)
def test_unknown_flags(tmp_path: Path) -> None:
    environment = child(XLA_FLAGS="--xla_no_such_flag=1", TF_XLA_FLAGS="--no_such_flag")
    code = (
        "import tensorflow as tf; print(float(tf.function(lambda x: x + 1, jit_compile=True)(1.0)))"
    )
    assert python(code, environment, tmp_path) == "2.0"


def test_warnings_are_no_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python passes its options on to every process that multiprocessing spawns."""
    monkeypatch.setattr(sys, "warnoptions", ["error", "error::DeprecationWarning", "ignore"])
    monkeypatch.setattr("warnings.filters", [("error", None, Warning, None, 0)])
    environment = {"PYTHONWARNINGS": "error"}
    ignore_foreign_settings(environment)
    assert "PYTHONWARNINGS" not in environment
    assert sys.warnoptions == ["ignore"]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        pytest.param(
            "theano", "unknown-backend",
            marks=trial(
                "E", "`KERAS_BACKEND=theano`", source="own",
                before="every member fails with a traceback",
                now="`unknown-backend`, exit code 2, before any work",
            ),
        ),
        ("numpy", "unknown-backend"),
        ("TensorFlow", "unknown-backend"),
    ],
)  # fmt: skip
def test_an_unknown_backend(monkeypatch: pytest.MonkeyPatch, value: str, code: str) -> None:
    monkeypatch.setenv("KERAS_BACKEND", value)
    with raises(ConfigError, code, backend=value, field="KERAS_BACKEND"):
        check_backend(installed=False)


@trial(
    "E",
    "`KERAS_BACKEND=torch` without torch",
    source="own",
    before="every member fails with a traceback of 30 lines",
    now="`backend-not-installed`, exit code 2, before any work",
)
def test_a_backend_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("overlap.training.backends.choice.find_spec", lambda _name: None)
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with raises(ConfigError, "backend-not-installed", backend="torch"):
        check_backend()
    check_backend(installed=False)  # other machines train
    monkeypatch.setenv("KERAS_BACKEND", "")  # as in Keras: not set
    check_backend(installed=False)


@trial(
    "E",
    "`~/.config/dask/*.yaml` of another cluster: memory limits, preloaded modules, start method",
    source="own",
    before="workers of the local cluster are killed or do not start",
    now="Dask's defaults; certificates and time limits of connections still count",
)
def test_a_local_cluster_has_the_settings_of_dask() -> None:
    foreign = {
        "distributed.worker.memory.terminate": 0.01,
        "distributed.worker.multiprocessing-method": "fork",
        "distributed.worker.preload": ["no.such.module"],
        "distributed.comm.timeouts.connect": "77s",
    }
    with dask.config.set(foreign), dask.config.set(own_settings()):
        assert dask.config.get("distributed.worker.memory.terminate") == 0.95
        assert dask.config.get("distributed.worker.multiprocessing-method") == "spawn"
        assert dask.config.get("distributed.worker.preload") == []
        assert dask.config.get("distributed.comm.timeouts.connect") == "77s"


def test_a_local_cluster_is_quiet_unless_the_user_wants_its_figures() -> None:
    with dask.config.set(own_settings()):
        assert dask.config.get("distributed.worker.profile.enabled") is False
        assert dask.config.get("distributed.worker.memory.monitor-interval") == "500ms"
        assert dask.config.get("distributed.worker.memory.terminate") == 0.95
        assert dask.config.get("distributed.admin.tick.interval") == "500ms"
    with (
        dask.config.set({"distributed.admin.tick.interval": "50ms"}),
        dask.config.set(own_settings()),
    ):
        assert dask.config.get("distributed.admin.tick.interval") == "50ms"
        assert dask.config.get("distributed.admin.system-monitor.interval") == "5s"


def test_a_network_is_the_same_whatever_keras_defaults_to() -> None:
    import keras

    from overlap.config import NetworkConfig, Stage
    from overlap.features import Normalisation
    from overlap.training.network import build_network, precision

    config = NetworkConfig(stages=(Stage(kind="plain", filters=4),))
    before = keras.config.image_data_format(), keras.config.floatx()
    try:
        keras.config.set_image_data_format("channels_first")
        keras.config.set_floatx("float64")
        with precision("float32"):
            network = build_network(
                config, (16, 12, 1), 3, Normalisation((-80,), (-40,), (15,))
            ).model
        assert keras.config.image_data_format() == "channels_first"
    finally:
        keras.config.set_image_data_format(before[0])
        keras.config.set_floatx(before[1])
    convolutions = [x for x in network.layers if isinstance(x, keras.layers.Conv2D)]
    assert {layer.data_format for layer in convolutions} == {"channels_last"}
    assert {variable.dtype for variable in network.weights} <= {"float32"}
    probabilities = network.predict(np.zeros((2, 16, 12, 1), np.float16), verbose=0)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.extended
@trial(
    "E",
    "`NUMBA_DISABLE_JIT=1` and `NUMBA_BOUNDSCHECK=1` for a `dask worker` that is started by hand",
    source="own",
    before="the slower way, whose features differ in the last bits",
    now="the same features, compiled",
)
def test_a_process_that_a_user_starts(tmp_path: Path, features: str) -> None:
    extra = {"NUMBA_DISABLE_JIT": "1", "NUMBA_BOUNDSCHECK": "1"}
    assert python(FEATURES, {**os.environ, **extra}, tmp_path) == features


ZARR = """
import os
home = os.environ["HOME"]
from overlap.io.zarr_import import zarr
assert os.environ["HOME"] == home
print(zarr.config.get("default_zarr_format"), zarr.config.get("array.order"))
"""


@trial(
    "E",
    "`~/.config/zarr` has a damaged file, or `ZARR_DEFAULT_ZARR_FORMAT=2`",
    source="own",
    before="a traceback; Zarr's defaults are others",
    now="neither counts",
)
@pytest.mark.parametrize("content", ["a: [1\n b: {", "array:\n  order: F\n"])
def test_settings_of_zarr_do_not_count(tmp_path: Path, content: str) -> None:
    settings = tmp_path / ".config" / "zarr"
    settings.mkdir(parents=True)
    (settings / "zarr.yaml").write_text(content)
    extra = {"HOME": str(tmp_path), "ZARR_DEFAULT_ZARR_FORMAT": "2"}
    assert python(ZARR, {**os.environ, **extra}, tmp_path) == "3 C"


def test_hidden_packages_are_importable_afterwards() -> None:
    with packages_hidden(["this_is_no_package", "json"]):
        assert importlib.import_module("json") is json  # imported before: it stays
        assert sys.modules["this_is_no_package"] is None
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("this_is_no_package")
    assert "this_is_no_package" not in sys.modules


UNUSED_HERE = """
import sys
from overlap.training.keras_import import UNUSED, keras
print(*(name for name in UNUSED if name in sys.modules))
import matplotlib, sklearn
print(keras.backend.backend())
"""


@pytest.mark.extended
def test_a_child_imports_no_package_that_it_does_not_use(tmp_path: Path) -> None:
    environment = child(KERAS_BACKEND="tensorflow")
    alone = python(UNUSED_HERE, environment | {CHILD_ENV: "1"}, tmp_path)
    assert alone == "tensorflow"
    assert "matplotlib" in python(UNUSED_HERE, environment, tmp_path).splitlines()[0]
