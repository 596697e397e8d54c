"""The kernel is compared with the reference, and its stages with their definitions."""

import json
import os
import subprocess
import sys
from pathlib import Path

import librosa
import numpy as np
import pytest

from overlap.bench.features import load_some
from overlap.config import FeatureConfig, Resolution
from overlap.features.compute import _log_once, compute_features, select_backend
from overlap.features.kernel.constants import tables, unsupported
from overlap.features.kernel.kernel import MelKernel, decibels
from overlap.features.kernel.simd import LANES, aligned, load, store
from overlap.features.kernel.transform import finish, point, put
from overlap.system import jit
from support.feature_accuracy import FLOAT16_DB, FLOAT32_DB, error_db, errors, tonal_error_db

DEFAULT = FeatureConfig()
SAMPLES = np.arange(16000)


def sounds() -> dict[str, np.ndarray]:
    """Return sounds of several kinds, each (n, 16000) float64."""
    random = np.random.default_rng(0)
    tones = np.sin(2 * np.pi * np.outer([31.25, 440, 1000, 4321, 7999], SAMPLES) / 16000)
    clicks = np.zeros((4, 16000))
    clicks[range(4), [0, 1, 8000, 15999]] = 1, -1, 0.5, 1
    return {
        "noise": random.normal(size=(3, 16000)) * 0.1,
        "tones": 0.9 * tones,
        "square waves at full scale": np.sign(tones + 1e-9),
        "clicks": clicks,
        "silence": np.zeros((2, 16000)),
        "quiet": random.normal(size=(2, 16000)) * 1e-5,
        "constant offset": np.full((1, 16000), 0.5),
    }


@pytest.mark.parametrize("kind", sounds())
def test_sounds_match_the_reference(kind: str) -> None:
    clips = sounds()[kind].astype(np.float32)
    assert error_db(compute_features, clips, DEFAULT, np.float32) < FLOAT32_DB
    assert error_db(compute_features, clips, DEFAULT, np.float16) < FLOAT16_DB


@pytest.mark.extended
def test_tones_across_the_band_match_the_reference() -> None:
    hertz = np.arange(100, 8000, 121)  # at lower frequencies no mel band has the loudest bin
    clips = (0.9 * np.sin(2 * np.pi * np.outer(hertz, SAMPLES) / 16000)).astype(np.float32)
    assert tonal_error_db(compute_features, clips, DEFAULT) < FLOAT32_DB
    assert np.quantile(errors(compute_features, clips, DEFAULT)[0], 0.999) < FLOAT32_DB
    assert error_db(compute_features, clips, DEFAULT, np.float16) < FLOAT16_DB


def test_spoken_words_match_the_reference(spoken: np.ndarray) -> None:
    assert error_db(compute_features, spoken, DEFAULT, np.float32) < FLOAT32_DB
    assert error_db(compute_features, spoken, DEFAULT, np.float16) < FLOAT16_DB


def test_real_speech_matches_the_reference(speech: Path) -> None:
    clips = load_some(speech, 100, DEFAULT)
    assert error_db(compute_features, clips, DEFAULT, np.float32) < FLOAT32_DB
    assert error_db(compute_features, clips, DEFAULT, np.float16) < FLOAT16_DB


@pytest.mark.parametrize("clips", [1, LANES - 1, LANES, LANES + 1, 3 * LANES + 5])
def test_results_do_not_depend_on_the_number_of_clips(clips: int, spoken: np.ndarray) -> None:
    sounds = np.resize(spoken, (clips, 16000))
    batch = compute_features(sounds, DEFAULT)
    single = np.concatenate([compute_features(clip[None], DEFAULT) for clip in sounds])
    assert np.array_equal(batch.view(np.uint16), single.view(np.uint16))


def test_zero_clips_are_accepted() -> None:
    assert compute_features(np.zeros((0, 16000), np.float32), DEFAULT).shape == (0, 64, 101, 4)


def test_silence_has_the_smallest_power() -> None:
    assert (compute_features(np.zeros((2, 16000), np.float32), DEFAULT) == -100).all()


# --- stages --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_fft", [128, 256, 512, 1024, 2048, 4096])
def test_the_transform_matches_its_definition(n_fft: int) -> None:
    """The steps after the first transform the four quarters that the first step produces."""
    config = FeatureConfig(n_mels=8, resolutions=(Resolution(n_fft=n_fft, win_length=n_fft),))
    constants, half = tables(config, config.resolutions[0]), n_fft // 2
    assert sorted(constants.positions) == list(range(half))
    random = np.random.default_rng(n_fft)
    quarters = random.normal(size=(4, half // 4, LANES)) + 1j * random.normal(
        size=(4, half // 4, LANES)
    )
    work = aligned(n_fft * LANES)
    shaped = work.reshape(half, 2, LANES)
    shaped[:, 0] = quarters.real.reshape(half, LANES)
    shaped[:, 1] = quarters.imag.reshape(half, LANES)
    finish(work, constants.schedule, constants.twiddles)
    transformed = (shaped[:, 0] + 1j * shaped[:, 1])[constants.positions]
    expected = np.fft.fft(quarters, axis=1)  # value k is value k // 4 of quarter k % 4
    for j in range(4):
        assert np.abs(transformed[j::4] - expected[j]).max() < 1e-5 * np.sqrt(half) * 4


@pytest.mark.parametrize("mels", [1, 2, 40, 64, 128])
@pytest.mark.parametrize("n_fft", [128, 512, 4096])
@pytest.mark.parametrize("band", [(0, None), (50, 4000), (1000, 8000), (7000, 7100)])
@pytest.mark.filterwarnings("ignore:Empty filters detected:UserWarning")
def test_two_slopes_per_bin_equal_the_mel_filters(
    mels: int, n_fft: int, band: tuple[float, float | None]
) -> None:
    fmin, fmax = band
    resolution = Resolution(n_fft=n_fft, win_length=n_fft)
    config = FeatureConfig(n_mels=mels, fmin_hz=fmin, fmax_hz=fmax, resolutions=(resolution,))
    constants = tables(config, resolution)
    expected = librosa.filters.mel(sr=16000, n_fft=n_fft, n_mels=mels, fmin=fmin, fmax=fmax)
    filters = np.zeros((mels + 2, n_fft // 2 + 1))
    slopes = constants.slopes.reshape(-1, 2)
    for segment in range(mels + 1):
        bins = slice(constants.edges[segment], constants.edges[segment + 1])
        filters[segment : segment + 2, bins] += slopes[bins].T
    assert np.abs(filters[1:-1] - expected).max() <= 1e-9 * expected.max()


def test_decibels_equal_those_of_numpy() -> None:
    from numba import njit

    @njit
    def apply(power, out):
        for i in range(len(power) // LANES):
            store(out, i, decibels(load(power, i)))

    power, out = aligned(1024 * LANES), aligned(1024 * LANES)
    power[:] = np.geomspace(1e-12, 1e8, len(power))
    apply(power, out)
    expected = 10 * np.log10(np.maximum(power.astype(np.float64), 1e-10))
    assert np.abs(out - expected).max() < 2e-5


def test_points_are_pairs_of_registers() -> None:
    from numba import njit

    @njit
    def copy(work, source, target):
        put(work, target, point(work, source))

    work = aligned(4 * LANES)
    work[: 2 * LANES] = np.arange(2 * LANES)
    copy(work, 0, 1)
    assert np.array_equal(work[2 * LANES :], np.arange(2 * LANES))


# --- unsupported input ---------------------------------------------------------------------------


def test_unsupported_transform_lengths_use_the_batched_backend_with_one_warning(
    spoken: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    config = FeatureConfig(resolutions=(Resolution(n_fft=400, win_length=399),))
    assert "n_fft 400" in unsupported(config)
    with pytest.raises(ValueError, match="n_fft 400"):
        MelKernel(config)
    assert select_backend(config) == "batched"
    _log_once.cache_clear()
    assert error_db(compute_features, spoken[:4], config) < 0.005
    (warning,) = caplog.records
    assert warning.levelname == "WARNING"
    assert "n_fft 400" in warning.getMessage()
    compute_features(spoken[:4], config)
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("clips", "out", "fact"),
    [
        (np.zeros((2, 100), np.float32), None, r"\(2, 100\)"),
        (np.zeros((2, 16000)), None, "float64"),
        (np.full((1, 16000), np.nan, np.float32), None, "not finite"),
        (np.full((1, 16000), -np.inf, np.float32), None, "not finite"),
        (np.zeros((1, 16000), np.float32), np.zeros((2, 64, 101, 4), np.float16), r"\(2, 64, 101"),
        (np.zeros((1, 16000), np.float32), np.zeros((1, 64, 101, 8), np.float16)[..., ::2],
         "C-contiguous"),
    ],
)  # fmt: skip
def test_wrong_input_is_rejected(clips: np.ndarray, out: np.ndarray | None, fact: str) -> None:
    with pytest.raises(ValueError, match=fact):
        compute_features(clips, DEFAULT, out)


def test_a_rejected_call_does_not_affect_the_next(spoken: np.ndarray) -> None:
    broken = spoken[:3].copy()
    broken[2, 5] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        compute_features(broken, DEFAULT)
    assert np.isfinite(compute_features(spoken[:1], DEFAULT)).all()


def test_other_dtypes_are_rejected() -> None:
    with pytest.raises(ValueError, match="float64"):
        MelKernel(DEFAULT, np.float64)


# --- compiled code -------------------------------------------------------------------------------

PROBE = """
import json, sys
import numpy as np
from overlap.config import FeatureConfig
from overlap.system import jit
from overlap.features.kernel import kernel, simd
from overlap.features.compute import compute_features
clips = (np.random.default_rng(0).normal(size=(19, 16000)) * 0.1).astype(np.float32)
values = compute_features(clips, FeatureConfig())
stats = kernel.spectrogram.stats
print(json.dumps({
    "hits": sum(stats.cache_hits.values()), "misses": sum(stats.cache_misses.values()),
    "folder": str(jit.cache_folder()), "lanes": simd.LANES, "target": simd.target(),
    "values": values.view(np.uint16).ravel()[::97].tolist(),
}))
"""


def kernel_of_new_process(**environment: str) -> dict:
    """Run the kernel in a new process and return its cache statistics, target and values."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        env=os.environ | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.extended
def test_the_kernel_is_compiled_once(tmp_path: Path) -> None:
    first = kernel_of_new_process(NUMBA_CACHE_DIR=str(tmp_path))
    assert (first["hits"], first["misses"]) == (0, 1)
    assert first["folder"].startswith(str(tmp_path))
    second = kernel_of_new_process(NUMBA_CACHE_DIR=str(tmp_path))
    assert (second["hits"], second["misses"]) == (1, 0)
    assert second["values"] == first["values"]


@pytest.mark.nightly
def test_processes_that_start_together_compile_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROBE]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    started = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) for _ in range(3)]
    reports = [json.loads(process.communicate()[0]) for process in started]
    assert sorted(report["misses"] for report in reports) == [0, 0, 1]


@pytest.mark.extended
def test_without_a_writable_cache_folder_the_temporary_folder_is_used(tmp_path: Path) -> None:
    """Files block the cache folders: not even root can create folders below them."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    found = kernel_of_new_process(
        NUMBA_CACHE_DIR=str(blocked), XDG_CACHE_HOME=str(blocked), HOME=str(blocked),
        TMPDIR=str(tmp_path),
    )  # fmt: skip
    assert found["folder"].startswith(f"{tmp_path}/overlap-")


@pytest.mark.extended
def test_a_cache_folder_that_others_can_write_is_not_trusted(tmp_path: Path) -> None:
    folder = tmp_path / "overlap" / f"kernel-{jit.code_digest()}"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    assert not kernel_of_new_process(NUMBA_CACHE_DIR=str(tmp_path))["folder"].startswith(
        str(folder)
    )


@pytest.mark.extended
def test_a_temporary_folder_created_by_another_user_is_not_trusted(tmp_path: Path) -> None:
    """Any user can create a folder among the temporary files, and then owns its content."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    foreign = tmp_path / f"overlap-{os.getuid()}"
    foreign.mkdir()
    foreign.chmod(0o777)
    nowhere = {"XDG_CACHE_HOME": str(blocked), "HOME": str(blocked), "TMPDIR": str(tmp_path)}
    found = kernel_of_new_process(NUMBA_CACHE_DIR=str(blocked), **nowhere)
    assert found["folder"] == "None"
    assert found["hits"] == 0


@pytest.mark.extended
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names x86-64 instruction sets")
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="names x86-64 instruction sets")
@pytest.mark.parametrize(
    ("name", "features", "lanes"),
    [
        ("generic", "", 4),
        ("haswell", "+sse2,+sse4.1,+sse4.2,+avx,+avx2,+fma,+f16c,+bmi,+bmi2,+popcnt,+lzcnt", 8),
    ],
)
def test_other_processors(name: str, features: str, lanes: int, tmp_path: Path) -> None:
    """Other targets give the same values; without fused multiply-add the last bit may differ."""
    found = kernel_of_new_process(
        NUMBA_CPU_NAME=name, NUMBA_CPU_FEATURES=features, NUMBA_CACHE_DIR=str(tmp_path)
    )
    assert found["lanes"] == lanes
    clips = (np.random.default_rng(0).normal(size=(19, 16000)) * 0.1).astype(np.float32)
    ours = compute_features(clips, DEFAULT).ravel()[::97]
    theirs = np.array(found["values"], np.uint16).view(np.float16)
    assert np.abs(ours.astype(float) - theirs.astype(float)).max() <= 2**-4
    assert np.mean(ours != theirs) < 0.01
