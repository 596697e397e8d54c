"""Bad tables beside four good clips (a, b, c and d), and what must come of each."""

import os
from collections.abc import Callable
from pathlib import Path

from support.hostile_cases import REFUSED, USED, Case, holds, links_to

LABELS, TEMPLATE, GROUPS = "train_answer.csv", "submission.csv", "groups.csv"
HEADER = "id,yes,no\n"
ROWS = "b,0,1\nc,1,0\nd,0,1\n"
GOOD = f"{HEADER}a,1,0\n{ROWS}"
NO_CSV = "cannot be read as a CSV table in UTF-8"
NO_NUMBER = "has rows with a cell that is not a number: "
WITHOUT_FILE = "has ids without a file in train/: "
WIDTH = "has rows with more or fewer cells than its header: "
NO_ID = "has no column id"
NO_LABELS = "there is train/ but no train_answer.csv"
PIPE = "is a pipe or device, not a file"


def row_a(cells: str) -> Callable[[Path], None]:
    """The good table with another row for clip a."""
    return holds(f"{HEADER}{cells}\n{ROWS}")


def columns(count: int) -> str:
    """A table of that many words."""
    words = ",".join(f"word{n}" for n in range(count))
    zeros = ",0" * (count - 1)
    return f"id,{words}\n" + "".join(f"{clip},1{zeros}\n" for clip in "abcd")


def million_rows(path: Path) -> None:
    """62 MB, of which four rows have a file."""
    with path.open("w") as file:
        file.write(GOOD)
        for start in range(0, 1_000_000, 10_000):
            file.writelines(f"none_{n:07d},0.25,0.75\n" for n in range(start, start + 10_000))


def endless(path: Path) -> None:
    """Two gigabytes of zeros, for which no disk is used."""
    with path.open("wb") as file:
        file.truncate(2 << 30)


def table(
    name: str,
    write: Callable[[Path], None],
    says: str = "",
    file: str = LABELS,
    outcome: str | None = None,
) -> Case:
    return Case(name, write, outcome or (REFUSED if says else USED), says, file)


ENCODINGS = [
    table("a byte order mark", holds(b"\xef\xbb\xbf" + GOOD.encode())),
    table("line ends of Windows", holds(GOOD.replace("\n", "\r\n"))),
    table("line ends of old Macs", holds(GOOD.replace("\n", "\r")), NO_CSV),
    table("CP949", holds(GOOD.replace("yes", "네").encode("cp949")),
          "line 1: byte 0xb3 is not UTF-8"),
    table("Latin-1", holds(GOOD.replace("a,1", "é,1").encode("latin-1")),
          "line 2: byte 0xe9 is not"),
    table("UTF-16", holds(GOOD.encode("utf-16")), "line 1: byte 0xff is not UTF-8"),
    table("UTF-16 without its mark", holds(GOOD.encode("utf-16-le")), NO_ID),
    table("a lone surrogate in UTF-8", holds(GOOD.encode().replace(b"a,1", b"\xed\xa0\x80,1")),
          "line 2: byte 0xed is not UTF-8"),
    table("zero bytes", holds(GOOD.replace("a,1", "a,\x001")), NO_NUMBER + "a"),
    table("0 bytes", holds(""), f"{NO_CSV} (it is empty)"),
    table("nothing but a byte order mark", holds(b"\xef\xbb\xbf"), f"{NO_CSV} (it is empty)"),
    table("blank lines alone", holds("\n\r\n\n"), f"{NO_CSV} (it is empty)"),
    table("blank lines between rows", holds("\n" + GOOD.replace("\n", "\n\n"))),
    table("an Excel file", holds(b"PK\x03\x04\x14\x00\x06\x00" + bytes(range(256))), NO_ID),
    table("a page that says 404", holds("<html>\n<body>404</body>\n</html>\n"), NO_ID),
    table("JSON", holds('{"id": ["a"], "yes": [1]}\n'), NO_ID),
]  # fmt: skip

SHAPES = [
    table("semicolons", holds(GOOD.replace(",", ";")), "(cells are divided by commas, not by ';')"),
    table("tabs", holds(GOOD.replace(",", "\t")), "(cells are divided by commas, not by '\\t')"),
    table("every cell in quotes", holds("\n".join(
        ",".join(f'"{cell}"' for cell in line.split(",")) for line in GOOD.split()))),
    table("a quote that never ends", row_a('"a,1,0'), f"{NO_CSV} (unexpected end of data)"),
    table("text behind a quote", row_a('"a"b,1,0'), NO_CSV),
    table("a comma at the end of every row but the header", holds(
        HEADER + (GOOD.removeprefix(HEADER)).replace("\n", ",\n")),
          WIDTH + "line 2, line 3, line 4"),
    table("a comma at the end of every line", holds(GOOD.replace("\n", ",\n")),
          "has columns without a name: column 4"),
    table("a row that is too short", row_a("a,1"), WIDTH + "line 2"),
    table("a row that is too long", row_a("a,1,0,0"), WIDTH + "line 2"),
    table("a row of nothing but commas", holds(GOOD + ",,\n"), NO_NUMBER + "(empty)"),
    table("a comment before the header", holds("# labels\n" + GOOD), NO_ID),
    table("no header", holds(GOOD.removeprefix(HEADER)), NO_ID),
    table("a header alone", holds(HEADER), "no id of train_answer.csv fits a file"),
    table("ids alone", holds("id\na\nb\nc\nd\n"), "has no column for a word"),
    table("a column ID", holds(GOOD.replace("id", "ID")), NO_ID),
    table("two columns of one name", holds(GOOD.replace("no", "yes")),
          "has columns more than once: yes"),
    table("words that differ in capitals", holds(GOOD.replace("no", "Yes"))),
    table("words with a comma, a quote and a line end", holds(
        GOOD.replace("yes", '"y,e""s"').replace("no", '"n\no"'))),
    table("words of a terminal's markup", holds(GOOD.replace("yes", "[/b]").replace("no", ":x:"))),
    table("a word that is a formula", holds(GOOD.replace("yes", "@SUM(1+1)*cmd|' /C calc'!A0")),
          "would run as formulas: @SUM(1+1)*cmd|"),
    table("one word", holds("id,yes\na,1\nb,1\nc,1\nd,1\n")),
    table("30,001 columns", holds(columns(30_000))),
    table("two gigabytes without a line end", endless, f"{NO_CSV} (line 1 has more than 16 MiB)"),
    table("a cell of 200,000 letters", row_a("a" * 200_000 + ",1,0"), NO_CSV),
]  # fmt: skip

CELLS = [
    table("NaN", row_a("a,nan,1"), NO_NUMBER + "a"),
    table("an empty cell", row_a("a,,1"), NO_NUMBER + "a"),
    table("infinity", row_a("a,inf,0"), NO_NUMBER + "a"),
    table("1e999", row_a("a,1e999,0"), NO_NUMBER + "a"),
    table("1e308 twice", row_a("a,1e308,1e308"), "has rows that do not sum to 1: a"),
    table("20 digits", row_a("a,18446744073709551616,-1"), "has rows with a negative cell: a"),
    table("a negative number", row_a("a,-0.5,1.5"), "has rows with a negative cell: a"),
    table("zeros", row_a("a,0,0"), "has rows that do not sum to 1: a"),
    table("percent", row_a("a,50%,50%"), NO_NUMBER + "a"),
    table("a decimal comma", row_a('a,"0,5","0,5"'), NO_NUMBER + "a"),
    table("1_0", row_a("a,1_0,0"), NO_NUMBER + "a"),
    table("digits of another script", row_a("a,١,0"), NO_NUMBER + "a"),  # noqa: RUF001
    table("0x1", row_a("a,0x1,0"), NO_NUMBER + "a"),
    table("spaces around numbers", row_a("a, 1 ,  0")),
    table("true", row_a("a,true,false"), NO_NUMBER + "a"),
]  # fmt: skip

IDS = [
    table("an id twice", holds(GOOD + "a,1,0\n"), "has ids more than once: a"),
    table("an id twice, once with spaces", holds(GOOD + " a ,1,0\n"), "has ids more than once: a"),
    table("the id ../../etc/passwd", row_a("../../etc/passwd,1,0"),
          WITHOUT_FILE + "../../etc/passwd"),
    table("the id /etc/passwd", row_a("/etc/passwd,1,0"), WITHOUT_FILE + "/etc/passwd"),
    table("the id ../train/a", row_a("../train/a,1,0"), WITHOUT_FILE + "../train/a"),
    table("the id a.wav", row_a("a.wav,1,0"), WITHOUT_FILE + "a.wav"),
    table("the id *", row_a("*,1,0"), WITHOUT_FILE + "*"),
    table("an id that clears the terminal", row_a("\x1b[2J,1,0"), WITHOUT_FILE + "\\x1b[2J"),
    table("an id with a line end", row_a('"a\nb",1,0'), WITHOUT_FILE + "a\\nb"),
    table("an empty id", row_a(",1,0"), WITHOUT_FILE + "(empty)"),
    table("an id of 100,000 letters", row_a("x" * 100_000 + ",1,0"), WITHOUT_FILE + "x" * 20),
    table("an id of 1,000 digits", row_a("9" * 1000 + ",1,0"), WITHOUT_FILE + "9" * 20),
    table("a script as id", row_a("<script>alert(1)</script>,1,0"), WITHOUT_FILE + "<script>"),
    table("a million rows too many", million_rows, "(1000000 in all)"),
]  # fmt: skip

NO_FILES = [
    table("a folder", Path.mkdir, f"{NO_CSV} (Is a directory)"),
    table("a pipe", os.mkfifo, PIPE),
    table("a link to /dev/zero", links_to("/dev/zero"), PIPE),
    table("a link that leads to itself", links_to(LABELS), NO_LABELS),
    table("a link that leads nowhere", links_to("gone"), NO_LABELS),
    table("no labels", lambda _: None, NO_LABELS),
]  # fmt: skip

OTHERS = [
    table("a template of other words", holds("id,yes,maybe\na,0,0\n"),
          "have different words: maybe, no",
          TEMPLATE),
    table("a template that names clips twice", holds(HEADER + "t,0,0\nt,0,0\n"),
          "submission.csv has ids more than once: t", TEMPLATE),
    table("a template of clips that are not there", holds(HEADER + "t,0,0\n../train/a,0,0\n"),
          "submission.csv has ids without a file in test/: ../train/a", TEMPLATE),
    table("a template whose cells are anything", holds(HEADER + "t,,x\n"), "", TEMPLATE),
    table("a template of one comma too many", holds(HEADER + "t,0,0,\n"),
          WIDTH + "line 2", TEMPLATE),
    table("a template that is a pipe", os.mkfifo, PIPE, TEMPLATE),
    table("groups without a column for them", holds("id,speaker\na,1\n"),
          "has no column group", GROUPS),
    table("groups that name a clip twice", holds("id,group\na,1\na,2\nb,1\nc,1\nd,1\n"),
          "groups.csv has ids more than once: a", GROUPS),
    table("groups that do not name a clip", holds("id,group\na,1\nb,1\nc,1\n"),
          "groups.csv does not name the group of training clips: d", GROUPS),
    table("groups that are a pipe", os.mkfifo, PIPE, GROUPS),
]  # fmt: skip

TABLES = [*ENCODINGS, *SHAPES, *CELLS, *IDS, *NO_FILES, *OTHERS]
EXPENSIVE = {"a million rows too many", "30,001 columns", "two gigabytes without a line end"}
"""These are looked at in a process of their own, whose memory is measured."""
