"""The command `show`, which draws one clip."""

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import Json, WorkspaceOption
from overlap.errors import UserError

if TYPE_CHECKING:
    from overlap.io.location import Location
    from overlap.reporting.clip_inspection import InspectedClip

PRINTED_WORDS = 5
"""Words of a prediction that are printed; the picture shows more, `--json` all."""


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command()(show)


def show(
    clip: Annotated[str, typer.Argument(help="Sound file, or id of a clip in the workspace.")],
    *,
    out: Annotated[
        str | None,
        typer.Option(
            help="PNG file, device or pipe to write; `-`: standard output.",
            show_default="ID.png here",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="champion, a version, or an ensemble's folder.",
            show_default="the champion, if any",
        ),
    ] = None,
    workspace: WorkspaceOption = "workspace",
    open_it: Annotated[
        bool, typer.Option("--open/--no-open", help="Open it in the browser.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Draw a clip: waveform, spectrograms, predicted and true words.

    The workspace's champion, if any, predicts the words. True words are shown if the data set
    contains the same sound.
    """
    from flows.service.environment import prepare

    prepare(verbose=False)
    from flows.cli.console import keep_stdout_for, print_json, print_note
    from overlap.io.location import Location
    from overlap.io.user_output import write_output
    from overlap.reporting.clip_inspection import inspect_clip
    from overlap.reporting.clip_picture import draw_clip, texts
    from overlap.reporting.plots.encoding import png
    from overlap.reporting.plots.fonts import substitution_note

    target = None if out is None else picture_target(out)
    check_openable(target, asked=open_it)
    if target is not None:
        keep_stdout_for(target, as_json=as_json)
    shown = inspect_clip(clip, Location.of(workspace), model)
    target = target or picture_target(f"{shown.name}.png")
    write_output(target, png(draw_clip(shown)))
    if note := substitution_note(texts(shown)):
        print_note(note)
    if as_json:
        print_json(_as_json(shown, target))
    else:
        _print_clip(shown, target, workspace)
    if open_it:
        _open(target)


def picture_target(out: str) -> "Location":
    """Return the location of the picture.

    Raises:
        UserError: the picture cannot be written there.
    """
    from overlap.io.user_output import check_output, is_stream, output_location

    target = output_location(out)
    target.check_writable()
    if PurePosixPath(out).suffix.lower() != ".png" and not is_stream(target):
        raise UserError(f"--out {out}: name a file that ends in .png", code="not-a-png", path=out)
    check_output(target, "clip.png")
    if target.local is not None and not target.parent.is_folder():
        raise UserError(
            f"--out {out}: no such folder {target.parent}; create it first",
            code="no-such-folder",
            path=str(target.parent),
        )
    return target


def check_openable(target: "Location | None", *, asked: bool) -> None:
    """Refuse to open a file that is not on this machine.

    Raises:
        UserError: the file is remote, and `asked` is true.
    """
    if asked and target is not None and target.local is None:
        raise UserError(
            f"--open {target}: only local files can be opened; leave out --open",
            code="not-local",
            path=str(target),
        )


def _print_clip(shown: "InspectedClip", target: "Location", workspace: str) -> None:
    from flows.cli.console import in_workspace, print_line, print_next
    from overlap.reporting.clip_picture import title

    lines = [("picture", str(target)), ("clip", title(shown))]
    if shown.prediction is not None:
        probabilities = shown.prediction.probabilities
        likeliest = sorted(probabilities.items(), key=lambda item: -item[1])[:PRINTED_WORDS]
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
        print_next("`overlap run` publishes an ensemble, whose predictions are shown here")
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
        ERR.print(f"no browser could be started; open {target}", highlight=False)
