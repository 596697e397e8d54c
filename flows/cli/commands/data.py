"""The commands for data sets: mix, synth, score."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import Json
from overlap.errors import UserError
from overlap.io.formatting import counted


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(mix)
    app.command()(synth)
    app.command()(score)


def mix(  # noqa: PLR0913  one parameter per option
    words: Annotated[
        Path, typer.Argument(help="Folder with one subfolder of recordings per word.")
    ],
    *,
    out: Annotated[Path, typer.Option(help="Folder of the data set; must be absent or empty.")],
    train: Annotated[int, typer.Option(min=0, help="Training clips.")],
    test: Annotated[int, typer.Option(min=0, help="Test clips.")],
    words_per_clip: Annotated[int, typer.Option(min=1, help="Distinct words per clip.")] = 4,
    min_clips: Annotated[int, typer.Option(min=1, help="Skip words with fewer recordings.")] = 2,
    test_speakers: Annotated[
        float, typer.Option(min=0.01, max=0.9, help="Fraction of speakers reserved for test.")
    ] = 0.15,
    groups: Annotated[
        int, typer.Option(min=1, help="Groups of training speakers that never share a clip.")
    ] = 10,
    seed: Annotated[
        int, typer.Option(min=0, help="Random seed; the same seed gives identical files.")
    ] = 0,
) -> None:
    """Mix a data set of overlapped clips from a folder of words.

    The speaker of a recording is its file name up to the first underscore. No speaker occurs both
    in train and in test.
    """
    from flows.cli.console import OUT, bar, print_next, print_note
    from overlap.synthetic import MixConfig
    from overlap.synthetic import mix as mix_clips
    from overlap.synthetic.speakers import unused_recordings

    config = MixConfig(
        train=train, test=test, words_per_clip=words_per_clip, min_clips=min_clips,
        test_speakers=test_speakers, groups=groups, seed=seed,
    )  # fmt: skip
    with bar("mixing clips") as on_progress:
        used = mix_clips(words, out, config, on_progress)
    if unused := unused_recordings(words):
        print_note(unused)
    OUT.print(
        f"{train} training and {counted(test, 'test clip')} of {words_per_clip} out of "
        f"{counted(len(used), 'word')} "
        f"({' '.join(used)}), in {out}",
        highlight=False,
        soft_wrap=True,
    )
    print_next(f"overlap run --data {shlex.quote(str(out))}")


def synth(
    out: Annotated[Path, typer.Option(help="Folder of the words; must be absent or empty.")],
    words: Annotated[
        str | None,
        typer.Option(help="Words to speak, separated by commas.", show_default="30 words"),
    ] = None,
    voices: Annotated[int, typer.Option(min=1, help="Number of speakers.")] = 60,
    takes: Annotated[int, typer.Option(min=1, help="Recordings per word and speaker.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of voices, pitches and rates.")] = 0,
) -> None:
    """Speak words with espeak-ng, into one folder per word."""
    from flows.cli.console import OUT, bar, print_next
    from overlap.synthetic.speech import DEFAULT_WORDS, SynthConfig, synthesise

    named = () if words is None else tuple(w.strip() for w in words.split(",") if w.strip())
    chosen = DEFAULT_WORDS if words is None else named
    try:
        config = SynthConfig(words=chosen, voices=voices, takes=takes, seed=seed)
    except UserError as error:
        raise UserError(
            f"--words {words!r}: {error}; separate words by commas", code=error.code, **error.fields
        ) from None
    with bar("speaking") as on_progress:
        spoken = synthesise(out, config, on_progress)
    OUT.print(
        f"{counted(len(chosen), 'word')} by {counted(len(spoken), 'voice')}, in {out}",
        highlight=False,
    )
    print_next(f"overlap mix {shlex.quote(str(out))} --out DATA --train 2000 --test 200")


def score(
    predictions: Annotated[str, typer.Argument(help="CSV with predictions.")],
    labels: Annotated[str, typer.Option(help="CSV with the true labels.")],
    train_labels: Annotated[
        str | None,
        typer.Option(
            help="train_answer.csv, for the trivial prediction.",
            show_default="next to --labels",
        ),
    ] = None,
    groups: Annotated[
        str | None,
        typer.Option(
            help="groups.csv, for the interval.", show_default="next to --labels, if it is there"
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Score predictions against labels: mean KL divergence and other metrics.

    The interval resamples whole groups of clips if there are ten or more, as those of ensembles do.
    """
    from flows.cli.console import OUT, print_json, print_table
    from overlap.ensemble.score_tables import score_tables
    from overlap.reporting.result_tables import relative_to_trivial

    judged = score_tables(labels, predictions, train_labels, groups)
    if as_json:
        print_json({**asdict(judged), "gain": judged.gain})
        return
    rows = [
        ("KL divergence, nats", f"{judged.kl:.4f}"),
        (f"95 % interval, over {judged.resampled}", f"{judged.low:.4f} to {judged.high:.4f}"),
        ("cross-entropy, nats", f"{judged.cross_entropy:.4f}"),
        ("of which label entropy", f"{judged.entropy:.4f}"),
        ("calibration error", f"{judged.calibration_error:.4f}"),
    ]
    if judged.trivial_kl is not None:
        rows.append(("KL of the mean training label", f"{judged.trivial_kl:.4f}"))
    if judged.gain is not None:
        rows.append(("compared with it", relative_to_trivial(judged.gain)))
    print_table(counted(judged.clips, "clip"), ("", ""), rows)
    worst = sorted(judged.per_word.items(), key=lambda item: -item[1])
    print_table("KL by word", ("word", "KL"), [(w, f"{value:.4f}") for w, value in worst])
    if worst[-1][1] < 0:
        OUT.print(
            "The contributions of all words sum to the KL. One is negative where a present word "
            "has more predicted probability than its label.",
            highlight=False,
        )
