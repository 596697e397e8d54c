"""The command that draws one clip: show."""

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import Json, Workspace
from flows.service.environment import prepare
from overlap.errors import UserError

if TYPE_CHECKING:
    from overlap.io.location import Location
    from overlap.reporting.clip_inspection import InspectedClip

WORDS_PRINTED = 5
"""Words of a prediction that are printed; the picture has more, `--json` all."""


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command()(show)


def show(
    clip: Annotated[
        str, typer.Argument(help="A sound file, or the id of a clip in the workspace.")
    ],
    *,
    out: Annotated[
        str | None, typer.Option(help="PNG file to write; none: ID.png in this folder.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="champion, a version, or an ensemble's folder; else the champion if any."
        ),
    ] = None,
    workspace: Workspace = "workspace",
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    as_json: Json = False,
) -> None:
    """Draw a clip: waveform, spectrograms, predicted and true words.

    The words are predicted by the champion of the workspace, if there is one; the true ones are
    known if the same sound is in its data set.
    """
    prepare(verbose=False)
    from flows.cli.console import print_json
    from overlap.io.location import Location
    from overlap.reporting.clip_inspection import inspect_clip
    from overlap.reporting.clip_picture import draw_clip
    from overlap.reporting.figures import png

    target = None if out is None else picture_target(out)
    check_openable(target, asked=open_it)
    shown = inspect_clip(clip, Location.of(workspace), model)
    target = target or picture_target(f"{shown.name}.png")
    target.write_bytes(png(draw_clip(shown)))
    if as_json:
        print_json(_as_json(shown, target))
    else:
        _print_summary(shown, target, workspace)
    if open_it:
        _open(target)


def picture_target(out: str) -> "Location":
    """Return the location of the picture.

    Raises:
        UserError: The location is not writable or not a PNG file.
    """
    from overlap.io.location import Location

    target = Location.of(out)
    target.check_writable()
    if PurePosixPath(out).suffix.lower() != ".png":
        raise UserError(
            f"--out {out}: the picture is a PNG; give a file name that ends in .png",
            code="not-a-png",
            out=out,
        )
    if target.is_folder():
        raise UserError(
            f"--out {out}: is a folder; give a file in it, such as {out}/clip.png",
            code="is-a-folder",
            out=out,
        )
    if target.local is not None and not target.parent.is_folder():
        raise UserError(
            f"--out {out}: the folder {target.parent} does not exist; create it first",
            code="no-such-folder",
            folder=str(target.parent),
        )
    return target


def check_openable(target: "Location | None", *, asked: bool) -> None:
    """Check that a browser on this machine can open the picture.

    Raises:
        UserError: Opening was requested, but the file is not local.
    """
    if asked and target is not None and target.local is None:
        raise UserError(
            f"--open {target}: only a local file can be opened",
            code="not-local",
            target=str(target),
        )


def _print_summary(shown: "InspectedClip", target: "Location", workspace: str) -> None:
    from flows.cli.console import in_workspace, print_line, print_next
    from overlap.reporting.clip_picture import title

    lines = [("picture", str(target)), ("clip", title(shown))]
    if shown.prediction is not None:
        probabilities = shown.prediction.probabilities
        likeliest = sorted(probabilities.items(), key=lambda item: -item[1])[:WORDS_PRINTED]
        words = ", ".join(f"{word} {probability:.2f}" for word, probability in likeliest)
        lines.append(("predicted", f"{words} ({shown.prediction.version})"))
    else:
        lines.append(("predicted", f"nothing: {shown.no_prediction_reason}"))
    if shown.labels is not None:
        words = ", ".join(word for word, label in shown.labels.items() if label > 0)
        lines.append(("true", words if shown.kl is None else f"{words} (KL {shown.kl:.4f} nats)"))
    for name, value in lines:
        print_line(name, value)
    if shown.prediction is None:
        print_next("`overlap run` publishes an ensemble, whose words are shown here")
    else:
        command = in_workspace(f"report {shown.prediction.version}", workspace)
        print_next(f"{command} has the worst clips")


def _as_json(shown: "InspectedClip", target: "Location") -> dict[str, object]:
    prediction = shown.prediction
    return {
        "picture": str(target),
        "clip": shown.name,
        "file": shown.file,
        "split": shown.split,
        "repairs": shown.repairs,
        "predicted": None
        if prediction is None
        else {
            "version": prediction.version,
            "shares": prediction.probabilities,
            "spread": prediction.spread,
        },
        "true": shown.labels,
        "kl": shown.kl,
    }


def _open(target: "Location") -> None:
    import webbrowser

    from flows.cli.console import ERR

    if target.local is None or not webbrowser.open(target.local.as_uri()):
        ERR.print(f"no browser could be started; the picture is in {target}", highlight=False)
