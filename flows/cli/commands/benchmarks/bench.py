"""The benchmark commands: bench features, training, scale, predict and start."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.options import Json, known_presets
from overlap.errors import UserError

bench = typer.Typer(help="Benchmarks, as ratios taken in one run.", no_args_is_help=True)


DemoMembers = Annotated[
    int, typer.Option(min=0, help="Members with the network of the preset demo; 0: skip.")
]
FullMembers = Annotated[
    int, typer.Option(min=0, help="Members with the network of the preset baseline; 0: skip.")
]


class Codec(StrEnum):
    """Codecs of the feature store."""

    none = "none"
    lz4 = "lz4"
    zstd = "zstd"


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(bench, name="bench")


@bench.command("features")
def bench_features(
    words: Annotated[
        Path | None,
        typer.Option(help="Folder of clips to measure.", show_default="synthetic sound"),
    ] = None,
    clips: Annotated[int, typer.Option(min=8, help="Clips per round.")] = 128,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; figures are medians.")] = 7,
    files: Annotated[
        int,
        typer.Option(min=0, help="Wav files for the reading and end-to-end parts; 0: skip both."),
    ] = 8192,
    folder: Annotated[
        Path | None,
        typer.Option(help="Existing folder for the end-to-end part.", show_default="in memory"),
    ] = None,
    compression: Annotated[Codec, typer.Option(help="Codec of the store.")] = Codec.none,
    as_json: Json = False,
) -> None:
    """Measure clips per CPU-second of every feature implementation, on one core and end to end."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from flows.cli.console import OUT, bars, print_json, print_table
    from overlap.bench import end_to_end, features, reading
    from overlap.config import FeatureConfig, StoreConfig
    from overlap.features.kernel.simd import target

    if folder is not None and not folder.is_dir():
        raise UserError(
            f"--folder {folder}: no such folder; name an existing one",
            code="no-such-folder",
            path=str(folder),
        )
    config, store = FeatureConfig(), StoreConfig(compression=compression.value)
    sound = (
        features.speech_like(clips, config)
        if words is None
        else features.load_some(words, clips, config)
    )
    rows = features.bench_features(sound, config, rounds)
    read = reading.bench_reading(config.clip_format, files, rounds) if files else []
    whole = (
        end_to_end.bench_end_to_end(sound, config, store, files, rounds, folder) if files else []
    )
    if as_json:
        about = {"processor": target(), "clips": clips, "rounds": rounds, "files": files}
        parts: dict[str, Sequence[Any]]
        parts = {"rows": rows, "reading": read, "end_to_end": whole}
        print_json(
            about
            | {"compression": store.compression}
            | {name: [asdict(row) for row in part] for name, part in parts.items()}
        )
        return
    speeds = [row.clips_per_cpu_second for row in rows]
    print_table(
        f"Features of {clips} clips, one core, {target()}, {rounds} rounds",
        ("implementation", "clips per CPU-second", "ratio", "max error, dB", ""),
        [
            (r.name, f"{r.clips_per_cpu_second:,.0f}", f"{r.ratio:.2f}", f"{r.max_error_db:.2g}", b)
            for r, b in zip(rows, bars(speeds), strict=True)
        ],
    )
    if not files:
        return
    print_table(
        f"Reading {files} wav files of one second, one core",
        ("reader", "files per CPU-second", "ratio", ""),
        [
            (r.name, f"{r.files_per_cpu_second:,.0f}", f"{r.ratio:.2f}", b)
            for r, b in zip(read, bars([r.files_per_cpu_second for r in read]), strict=True)
        ],
    )
    print_table(
        f"From {files} wav files to Zarr, compression {store.compression}",
        ("", "clips per CPU-second", "ratio to the librosa loop", "clips/s", "speed-up"),
        [
            (
                r.name, f"{r.clips_per_cpu_second:,.0f}", f"{r.ratio:.1f}",
                f"{r.clips_per_second:,.0f}", f"{r.speedup:.2f}",
            )
            for r in whole
        ],
    )  # fmt: skip
    OUT.print(f"{whole[0].bytes_per_clip:,.0f} bytes a clip in the store", highlight=False)


class Mode(StrEnum):
    """Where the features are during a training."""

    device = "device"
    memory = "memory"
    stream = "stream"


@bench.command("training")
def bench_training(
    clips: Annotated[int, typer.Option(min=64, help="Clips per epoch.")] = 512,
    words: Annotated[int, typer.Option(min=5, help="Words.")] = 30,
    width: Annotated[float, typer.Option(min=0.05, max=16, help="Width of the network.")] = 0.25,
    rounds: Annotated[
        int, typer.Option(min=1, help="Epochs per variant; figures are medians.")
    ] = 5,
    presets: Annotated[str, typer.Option(help="Presets, separated by commas.")] = "baseline,fast",
    mode: Annotated[Mode, typer.Option(help="Where the features are.")] = Mode.memory,
    as_json: Json = False,
) -> None:
    """Measure clips per second of training: plain `fit` on float32 arrays, and each preset.

    Plain fit and presets train the same network (five stages of this width). Plain fit runs as in
    a user's script, and once more in the environment of a member's process. The rows after
    "plain fit, demo network" train that of the demo. KERAS_BACKEND selects the backend.
    """
    from flows.cli.console import bars, print_json, print_table
    from overlap.bench.training.speed import bench_training as measure
    from overlap.bench.training.variants import TrainingJob
    from overlap.training.backends.choice import check_backend

    check_backend()
    names = known_presets("--presets", [name.strip() for name in presets.split(",")])
    job = TrainingJob(clips, words, width, mode.value)
    rows = measure(job, names, rounds)
    if as_json:
        backend = os.environ.get("KERAS_BACKEND", "tensorflow")
        print_json(
            {"backend": backend, "rounds": rounds}
            | asdict(job)
            | {"rows": [asdict(row) for row in rows]}
        )
        return
    print_table(
        f"Training on {clips} clips, width {width:g}, {mode.value} mode, {rounds} rounds",
        ("variant", "clips/s", "ratio", "faults/step", "host wait", "peak memory, MB", ""),
        [
            (
                r.name, f"{r.clips_per_second:,.1f}", f"{r.ratio:.2f}", f"{r.faults_per_step:,.0f}",
                f"{r.host_wait_fraction:.1%}", f"{r.peak_bytes / 1e6:,.0f}", b,
            )
            for r, b in zip(rows, bars([r.clips_per_second for r in rows]), strict=True)
        ],
    )  # fmt: skip


@bench.command("scale")
def bench_scale(
    clips: Annotated[int, typer.Option(min=1, help="Clips of the catalogue.")] = 11_000_000,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Workers.", show_default="one per usable processor"),
    ] = None,
    catalogue: Annotated[
        bool,
        typer.Option(
            "--catalogue/--no-catalogue",
            help="Build and compare the catalogue, too.",
        ),
    ] = True,
    as_json: Json = False,
) -> None:
    """Measure the time and memory of a run's driver over any number of clips, without audio."""
    from flows.bench_scale import bench_scale as measure
    from flows.cli.console import print_json, print_table
    from overlap.system.resources.processors import usable_processors

    report = measure(clips, workers or usable_processors(), catalogue=catalogue)
    figures = {
        "peak_mb": report.peak_mb,
        "bytes_per_clip": report.bytes_per_clip,
        "catalogue_peak_mb": report.catalogue_peak_mb,
        "catalogue_unreclaimable_mb": report.catalogue_unreclaimable_mb,
    }
    if as_json:
        print_json(asdict(report) | figures)
        return
    print_table(
        f"{clips:,} clips, {report.blocks:,} blocks, catalogue of {report.catalogue_mb:,.0f} MB",
        ("the driver", "seconds", "peak memory, MB", "of no file, MB"),
        [
            (p.name, f"{p.seconds:.1f}", f"{p.peak_mb:,.0f}", f"{p.unreclaimable_mb:,.0f}")
            for p in (*report.catalogue, *report.phases)
        ]
        + [("bytes per clip that the stage adds", "", f"{report.bytes_per_clip:,.1f}", "")],
    )


@bench.command("predict")
def bench_predict(
    clips: Annotated[int, typer.Option(min=16, help="Clips per pass.")] = 256,
    words: Annotated[int, typer.Option(min=2, help="Words.")] = 30,
    demo_members: DemoMembers = 3,
    full_members: FullMembers = 15,
    rounds: Annotated[
        int, typer.Option(min=1, help="Passes per variant; figures are medians.")
    ] = 5,
    as_json: Json = False,
) -> None:
    """Measure clips per second of prediction on the processors: with Keras and with graphs.

    The networks are untrained; features are not included. KERAS_BACKEND selects the backend.
    """
    from flows.cli.console import bars, print_json, print_table
    from overlap.bench.prediction import PredictionBench, bench_prediction
    from overlap.system.resources.processors import usable_processors
    from overlap.training.backends.choice import check_backend

    check_backend()
    members = {"demo": demo_members, "full": full_members}
    job = PredictionBench(clips, words, {name: n for name, n in members.items() if n})
    rows = bench_prediction(job, rounds)
    if as_json:
        print_json(asdict(job) | {"rounds": rounds, "rows": [asdict(row) for row in rows]})
        return
    print_table(
        f"Prediction of {clips} clips, {usable_processors()} processors, {rounds} rounds",
        ("ensemble", "members as", "clips/s", "ratio", "start, s", "MB", "differ by", ""),
        [
            (
                r.ensemble, r.name, f"{r.clips_per_second:,.1f}", f"{r.ratio:.2f}",
                f"{r.start_seconds:.1f}", f"{r.peak_mb:,.0f}", f"{r.max_difference:.1e}", b,
            )
            for r, b in zip(rows, bars([r.clips_per_second for r in rows]), strict=True)
        ],
    )  # fmt: skip


@bench.command("start")
def bench_start(
    clips: Annotated[int, typer.Option(min=1, help="Clips to predict.")] = 128,
    members: Annotated[int, typer.Option(min=1, help="Members of the ensemble.")] = 3,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; figures are medians.")] = 3,
    as_json: Json = False,
) -> None:
    """Measure the fixed costs of commands with an embedded server, relative to TensorFlow's import.

    Trains members on 64 clips of synthetic sound first, which takes a minute or two.
    """
    from flows.cli.console import print_json, print_table
    from overlap.bench.start import bench_start as measure
    from overlap.system.resources.processors import usable_processors

    rows = measure(clips, members, rounds)
    if as_json:
        about = {"clips": clips, "members": members, "rounds": rounds}
        print_json(about | {"rows": [asdict(row) for row in rows]})
        return
    print_table(
        f"Fixed costs, {members} members, {usable_processors()} processors, {rounds} rounds",
        ("command", "seconds", "ratio", "CPU-seconds", "ratio"),
        [
            (r.name, f"{r.seconds:.1f}", f"{r.ratio:.2f}", f"{r.cpu_seconds:.1f}",
             f"{r.cpu_ratio:.2f}")
            for r in rows
        ],
    )  # fmt: skip
