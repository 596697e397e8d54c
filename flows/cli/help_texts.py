"""Groups and examples of the commands, for `--help` and the reference page.

Typer prints a command's `rich_help_panel` as a heading in the list of commands, and its epilog
below its options.
"""

from collections.abc import Iterator
from types import MappingProxyType
from typing import Final

import typer
from typer.models import CommandInfo, TyperInfo

from flows.cli.narrow import Command, Group

PANELS: Final = MappingProxyType(
    {
        "Run": ("run", "demo", "plan", "features", "train", "pool", "tune", "distill"),
        "Predict and inspect": ("predict", "show", "score", "report", "history", "models"),
        "Workspace": ("status", "verify", "workspace", "withdraw"),
        "Make a data set": ("import", "mix", "synth"),
        "Serve": ("deploy", "serve", "view"),
        "Settings and measurements": ("config", "bench"),
    }
)
"""Commands and groups of commands by heading."""

EXAMPLES: Final = MappingProxyType(
    {
        "run": (
            "overlap run --data DATA --workspace W",
            "overlap run --data DATA --workspace W --preset fast --set training.epochs=60",
        ),
        "features": (
            "overlap features --data DATA --workspace W",
            "overlap features --data NEW --workspace W2 --compare W",
        ),
        "train": (
            "overlap train --data DATA --workspace W",
            "overlap train --data DATA --workspace W --members 5",
        ),
        "pool": (
            "overlap pool --data DATA --workspace W",
            "overlap pool --data DATA --workspace W --set ensemble.pool=mean",
        ),
        "tune": (
            "overlap tune --data DATA --workspace W",
            "overlap tune --data DATA --workspace W --search network.dropout=0:0.5 --trials 32",
        ),
        "distill": (
            "overlap distill --workspace W",
            "overlap distill --workspace W --epochs 60 --set network.width=0.5",
        ),
        "demo": (
            "overlap demo",
            "overlap demo my-demo --verbose",
        ),
        "plan": (
            "overlap plan --data DATA --workspace W",
            "overlap plan --data DATA --workspace W --preset baseline --json",
        ),
        "predict": (
            "overlap predict CLIPS --workspace W --out preds.csv",
            "overlap predict a.wav b.wav --workspace W --out -",
            "overlap predict FIELD --recordings --threshold 0.4 --workspace W --out RESULTS",
        ),
        "view": (
            "overlap view --workspace W",
            "overlap view --workspace W --base-url https://team.example/overlap",
        ),
        "show": (
            "overlap show clip.wav --workspace W",
            "overlap show t00017 --workspace W --out t00017.png --open",
        ),
        "score": (
            "overlap score preds.csv --labels test_answer.csv",
            "overlap score preds.csv --labels labels.csv --train-labels train_answer.csv --json",
        ),
        "report": (
            "overlap report --workspace W",
            "overlap report 20261127-021518-8795855a --workspace W",
        ),
        "history": (
            "overlap history --workspace W",
            "overlap history --workspace W --out history.csv",
        ),
        "models list": (
            "overlap models list --workspace W",
            "overlap models list --workspace s3://bucket/W --json",
        ),
        "models promote": (
            "overlap models promote 20261127-021518-8795855a --workspace W",
            "overlap models promote 20261127-021518-8795855a --workspace s3://bucket/W",
        ),
        "models rollback": (
            "overlap models rollback --workspace W",
            "overlap models rollback --workspace s3://bucket/W",
        ),
        "models prune": (
            "overlap models prune --workspace W --dry-run",
            "overlap models prune --workspace W --keep 3",
        ),
        "models export": (
            "overlap models export champion --workspace W --out model.onnx",
            "overlap models export champion --workspace W --format keras --out -",
        ),
        "status": (
            "overlap status --workspace W",
            "overlap status --workspace s3://bucket/W --json",
        ),
        "verify": (
            "overlap verify --workspace W",
            "overlap verify --workspace W --all --repair",
        ),
        "workspace backup": (
            "overlap workspace backup /backups --workspace W --keep 7",
            "overlap workspace backup s3://bucket/backups --workspace W --json",
        ),
        "workspace copy": (
            "overlap workspace copy NEW --workspace W",
            "overlap workspace copy W --workspace /backups/W-20261128-021500",
        ),
        "workspace move": (
            "overlap workspace move /large/W --workspace W",
            "overlap workspace move s3://bucket/W --workspace W",
        ),
        "withdraw": (
            "overlap withdraw train_00012 --workspace W --dry-run",
            "overlap withdraw --group speaker-7 --workspace W --yes",
        ),
        "import": (
            "overlap import SOURCE DATA",
            "overlap import SOURCE DATA --label-column category --nested",
            "overlap import SOURCE DATA --windows --background background",
        ),
        "mix": (
            "overlap mix WORDS --out DATA --train 2000 --test 200",
            "overlap mix WORDS --out DATA --train 500 --test 50 --words-per-clip 2 --seed 1",
        ),
        "synth": (
            "overlap synth --out WORDS",
            "overlap synth --out WORDS --words yes,no,stop --voices 20",
        ),
        "deploy": (
            "overlap deploy --data DATA --workspace W",
            (
                "overlap deploy --data DATA --workspace W --cron '0 2 * * *' "
                "--notify slack=env:SLACK_WEBHOOK"
            ),
        ),
        "serve": (
            "overlap serve --data DATA --workspace W",
            "overlap serve --data DATA --workspace W --cron '0 2 * * *' --timezone Asia/Seoul",
        ),
        "config show": (
            "overlap config show training --preset fast",
            "overlap config show --config run.toml --set training.epochs=60 --json",
        ),
        "config features": (
            "overlap config features --data DATA",
            "overlap config features --data DATA --out features.toml",
        ),
        "config schema": (
            "overlap config schema",
            "overlap config schema > overlap.schema.json",
        ),
        "bench features": (
            "overlap bench features",
            "overlap bench features --words WORDS --rounds 3 --files 0",
        ),
        "bench training": (
            "overlap bench training",
            "overlap bench training --presets fast --width 1 --json",
        ),
        "bench streaming": (
            "overlap bench streaming",
            "overlap bench streaming --clips 32768 --shuffle-clips 4096 --json",
        ),
        "bench scale": (
            "overlap bench scale",
            "overlap bench scale --clips 1000000 --workers 2",
            "overlap bench scale --clips 11000000 --no-catalogue",
        ),
        "bench listing": (
            "overlap bench listing",
            "overlap bench listing --files 20000 --address s3://bucket/folder --json",
        ),
        "bench predict": (
            "overlap bench predict",
            "overlap bench predict --full-members 0 --rounds 3",
        ),
        "bench requests": (
            "overlap bench requests",
            "overlap bench requests --clients 8 --full-members 0 --compiled",
        ),
        "bench quality": (
            "overlap bench quality Q --speech WORDS --passes 12 --reference-passes 8,16",
            "overlap bench quality Q --sets synthetic --recipes tail,filter --seeds 2 --json",
        ),
        "bench accelerator": (
            "overlap bench accelerator --out accelerator.json",
            "overlap bench accelerator --parts card,epochs --scale 0.01 --patience 10",
        ),
        "bench recordings": (
            "overlap bench recordings WORDS --workspace W",
            "overlap bench recordings WORDS --training-out SOURCE",
        ),
        "bench start": (
            "overlap bench start",
            "overlap bench start --members 1 --rounds 1 --json",
        ),
    }
)
"""Command lines by command."""

HEADING: Final = "Examples:"


def epilog(examples: tuple[str, ...]) -> str:
    """Return the end of a command's help; Typer prints each paragraph as a line."""
    return "\n\n".join([HEADING, *(f"  $ {line}" for line in examples)])


def paragraphs(text: str) -> str:
    r"""Return a text with one line per paragraph.

    Examples:
        >>> paragraphs("One\n two.\n\nThree.").splitlines()
        ['One two.', '', 'Three.']
    """
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n")).strip()


def add_help_texts(app: typer.Typer) -> None:
    """Add headings and examples to all commands of an application.

    Help of several lines is joined, so that a terminal of any width breaks it once.
    """
    panel_of = {name: panel for panel, names in PANELS.items() for name in names}
    for group in app.registered_groups:
        group.rich_help_panel = panel_of.get(group.name or "")
        if group.typer_instance is not None:
            group.typer_instance.info.cls = Group
    for path, info in commands_of(app):
        info.cls = Command
        if path in panel_of:
            info.rich_help_panel = panel_of[path]
        if path in EXAMPLES:
            info.epilog = epilog(EXAMPLES[path])
        info.help = paragraphs(info.help or getattr(info.callback, "__doc__", None) or "")


def commands_of(app: typer.Typer, above: str = "") -> Iterator[tuple[str, CommandInfo]]:
    """Yield every command of an application with its names, such as `models list`."""
    for info in app.registered_commands:
        yield above + _name(info), info
    for group in app.registered_groups:
        if group.typer_instance is not None:
            yield from commands_of(group.typer_instance, f"{above}{group.name} ")


def _name(info: CommandInfo | TyperInfo) -> str:
    """Return the name that the user types."""
    return info.name or str(getattr(info.callback, "__name__", "")).replace("_", "-")
