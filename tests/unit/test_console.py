"""What is printed is printed as it is."""

import shlex

import pytest
import typer

from flows.cli.application import Commands
from flows.cli.console import ERR, OUT, look_next, print_table
from support.command_lines import refusal
from tasks.progress import TERMINAL


@pytest.mark.parametrize("name", ["[/b]", "[bold]x", ":x:", "b[1]"])
def test_a_name_is_no_markup(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A word `[/b]` ended the command that printed its table, and `[bold]` was not seen."""
    with TERMINAL.shown(ERR):
        TERMINAL.line(f"clips were padded: {name}.wav")
    OUT.print(name)
    print_table(name, (name, "x"), [(name, name)])
    said = capsys.readouterr()
    assert said.err == f"clips were padded: {name}.wav\n"
    assert said.out.count(name) == 5


def test_an_end_of_file_in_the_work_is_no_wish_of_a_person() -> None:
    """Typer would say "Aborted!", and nothing of what happened."""
    app = typer.Typer(cls=Commands)
    app.callback()(lambda: None)

    @app.command()
    def ends() -> None:
        raise EOFError

    with pytest.raises(RuntimeError, match="ended unexpectedly"):
        app(["ends"])


def test_the_next_command_can_be_typed(capsys: pytest.CaptureFixture[str]) -> None:
    look_next("my work", "20261127 x")
    said = capsys.readouterr().out.split(maxsplit=1)
    assert said[0] == "next"
    typed = shlex.split(said[1].removesuffix(" draws one of them\n"))
    assert typed[-4:] == ["--model", "20261127 x", "--workspace", "my work"]
    assert refusal(typed) is None


def test_what_people_copy_is_whole_in_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    version = "20261127-021518-8795855a"
    print_table("x", ("version", "why"), [(version, "it is better than all before it")], whole=1)
    assert version in capsys.readouterr().out


def test_no_column_is_dropped_in_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    columns, row = ("version", "members", "KL", ""), ("20261127-021518-8795855a", 3, "", "because")
    # Rich reads COLUMNS when a console is created, and this one exists already.
    monkeypatch.setattr(OUT, "_width", 40)
    print_table("Ensembles", columns, [row, ("v2", 15, "0.5", "")], whole=4)
    assert capsys.readouterr().out.splitlines() == [
        "Ensembles",
        "version  20261127-021518-8795855a",
        "  members  3",
        "           because",
        "version  v2",
        "  members  15",
        "  KL       0.5",
    ]
    monkeypatch.setattr(OUT, "_width", 80)
    print_table("Ensembles", columns, [row], whole=4)
    assert "│ 20261127-021518-8795855a │" in capsys.readouterr().out
