"""Hostile tables for four valid clips (a, b, c and d) with their expected outcomes."""

import os
from collections.abc import Callable
from pathlib import Path

from support.hostile_cases import REFUSED, USED, Case, holds, links_to

LABELS, TEMPLATE, GROUPS = "train_answer.csv", "submission.csv", "groups.csv"
HEADER = "id,yes,no\n"
ROWS = "b,0,1\nc,1,0\nd,0,1\n"
GOOD = f"{HEADER}a,1,0\n{ROWS}"


def row_a(cells: str) -> Callable[[Path], None]:
    """The valid table with another row for clip a."""
    return holds(f"{HEADER}{cells}\n{ROWS}")


def columns(count: int) -> str:
    """A table with that many words."""
    words = ",".join(f"word{n}" for n in range(count))
    zeros = ",0" * (count - 1)
    return f"id,{words}\n" + "".join(f"{clip},1{zeros}\n" for clip in "abcd")


def million_rows(path: Path) -> None:
    """62 MB, in which only four rows have a file."""
    with path.open("w") as file:
        file.write(GOOD)
        for start in range(0, 1_000_000, 10_000):
            file.writelines(f"none_{n:07d},0.25,0.75\n" for n in range(start, start + 10_000))


def endless(path: Path) -> None:
    """A sparse file of two gigabytes of zeros."""
    with path.open("wb") as file:
        file.truncate(2 << 30)


def table(
    name: str,
    write: Callable[[Path], None],
    code: str = "",
    *facts: str,
    file: str = LABELS,
) -> Case:
    return Case(name, write, REFUSED if code else USED, code, file, facts)


ENCODINGS = [
    table("a byte order mark", holds(b"\xef\xbb\xbf" + GOOD.encode())),
    table("Windows line breaks", holds(GOOD.replace("\n", "\r\n"))),
    table("line breaks of old Macs", holds(GOOD.replace("\n", "\r")), "malformed-csv"),
    table("CP949", holds(GOOD.replace("yes", "네").encode("cp949")),
          "table-not-utf8", "line 1", "0xb3"),
    table("Latin-1", holds(GOOD.replace("a,1", "é,1").encode("latin-1")),
          "table-not-utf8", "line 2", "0xe9"),
    table("UTF-16", holds(GOOD.encode("utf-16")), "table-not-utf8", "line 1", "UTF-16"),
    table("UTF-16 without byte order mark", holds(GOOD.encode("utf-16-le")),
          "table-not-utf8", "line 1", "UTF-16"),
    table("a lone surrogate in UTF-8", holds(GOOD.encode().replace(b"a,1", b"\xed\xa0\x80,1")),
          "table-not-utf8", "line 2", "0xed"),
    table("zero bytes", holds(GOOD.replace("a,1", "a,\x001")), "not-a-number", ": a"),
    table("0 bytes", holds(""), "empty-table"),
    table("only a byte order mark", holds(b"\xef\xbb\xbf"), "empty-table"),
    table("only blank lines", holds("\n\r\n\n"), "empty-table"),
    table("blank lines between rows", holds("\n" + GOOD.replace("\n", "\n\n"))),
    table("an Excel file", holds(b"PK\x03\x04\x14\x00\x06\x00" + bytes(range(256))),
          "not-a-csv", "Excel"),
    table("an HTML page with error 404", holds("<html>\n<body>404</body>\n</html>\n"),
          "not-a-csv", "web page"),
    table("JSON", holds('{"id": ["a"], "yes": [1]}\n'), "missing-columns"),
]  # fmt: skip

SHAPES = [
    table("semicolons", holds(GOOD.replace(",", ";")), "wrong-separator", repr(";")),
    table("tabs", holds(GOOD.replace(",", "\t")), "wrong-separator", repr("\t")),
    table("quotes around every cell", holds("\n".join(
        ",".join(f'"{cell}"' for cell in line.split(",")) for line in GOOD.split()))),
    table("an unterminated quote", row_a('"a,1,0'), "malformed-csv"),
    table("text after a quote", row_a('"a"b,1,0'), "malformed-csv"),
    table("a trailing comma in every row except the header", holds(
        HEADER + (GOOD.removeprefix(HEADER)).replace("\n", ",\n")),
          "ragged-rows", ": line 2, line 3, line 4"),
    table("a trailing comma in every line", holds(GOOD.replace("\n", ",\n")),
          "unnamed-columns", ": column 4"),
    table("a row with too few cells", row_a("a,1"), "ragged-rows", ": line 2"),
    table("a row with too many cells", row_a("a,1,0,0"), "ragged-rows", ": line 2"),
    table("a row of commas", holds(GOOD + ",,\n"), "not-a-number", ": (empty)"),
    table("a comment before the header", holds("# labels\n" + GOOD), "missing-columns"),
    table("no header", holds(GOOD.removeprefix(HEADER)), "missing-columns"),
    table("only a header", holds(HEADER), "no-id-matches"),
    table("only ids", holds("id\na\nb\nc\nd\n"), "no-word-columns"),
    table("a column ID", holds(GOOD.replace("id", "ID")), "missing-columns"),
    table("two columns with the same name", holds(GOOD.replace("no", "yes")),
          "duplicate-columns", ": yes"),
    table("words that differ in case", holds(GOOD.replace("no", "Yes"))),
    table("words with a comma, a quote and a line break", holds(
        GOOD.replace("yes", '"y,e""s"').replace("no", '"n\no"'))),
    table("words with terminal markup", holds(GOOD.replace("yes", "[/b]").replace("no", ":x:"))),
    table("a word that is a formula", holds(GOOD.replace("yes", "@SUM(1+1)*cmd|' /C calc'!A0")),
          "columns-are-formulas", ": @SUM(1+1)*cmd|"),
    table("one word", holds("id,yes\na,1\nb,1\nc,1\nd,1\n")),
    table("30,001 columns", holds(columns(30_000))),
    table("two gigabytes without a line break", endless, "line-too-long", "line 1", "16 MiB"),
    table("a cell of 200,000 characters", row_a("a" * 200_000 + ",1,0"), "malformed-csv"),
]  # fmt: skip

CELLS = [
    table("NaN", row_a("a,nan,1"), "not-a-number", ": a"),
    table("an empty cell", row_a("a,,1"), "not-a-number", ": a"),
    table("infinity", row_a("a,inf,0"), "not-a-number", ": a"),
    table("1e999", row_a("a,1e999,0"), "not-a-number", ": a"),
    table("two cells of 1e308", row_a("a,1e308,1e308"), "row-sum", ": a"),
    table("20 digits", row_a("a,18446744073709551616,-1"), "negative", ": a"),
    table("a negative number", row_a("a,-0.5,1.5"), "negative", ": a"),
    table("zeros", row_a("a,0,0"), "row-sum", ": a"),
    table("percent", row_a("a,50%,50%"), "not-a-number", ": a"),
    table("a decimal comma", row_a('a,"0,5","0,5"'), "not-a-number", ": a"),
    table("1_0", row_a("a,1_0,0"), "not-a-number", ": a"),
    table("digits of another script", row_a("a,١,0"), "not-a-number", ": a"),  # noqa: RUF001
    table("0x1", row_a("a,0x1,0"), "not-a-number", ": a"),
    table("spaces around numbers", row_a("a, 1 ,  0")),
    table("true", row_a("a,true,false"), "not-a-number", ": a"),
]  # fmt: skip

IDS = [
    table("a duplicate id", holds(GOOD + "a,1,0\n"), "duplicate-ids", ": a"),
    table("a duplicate id with spaces", holds(GOOD + " a ,1,0\n"), "duplicate-ids", ": a"),
    table("the id ../../etc/passwd", row_a("../../etc/passwd,1,0"),
          "ids-without-file", ": ../../etc/passwd"),
    table("the id /etc/passwd", row_a("/etc/passwd,1,0"), "ids-without-file", ": /etc/passwd"),
    table("the id ../train/a", row_a("../train/a,1,0"), "ids-without-file", ": ../train/a"),
    table("the id a.wav", row_a("a.wav,1,0"), "ids-without-file", ": a.wav"),
    table("the id *", row_a("*,1,0"), "ids-without-file", ": " + "*"),
    table("an id that clears the terminal", row_a("\x1b[2J,1,0"), "ids-without-file", ": \\x1b[2J"),
    table("an id with a line break", row_a('"a\nb",1,0'), "ids-without-file", ": a\\nb"),
    table("an empty id", row_a(",1,0"), "ids-without-file", ": (empty)"),
    table("an id of 100,000 characters", row_a("x" * 100_000 + ",1,0"), "ids-without-file",
          ": " + "x" * 20),
    table("an id of 1,000 digits", row_a("9" * 1000 + ",1,0"), "ids-without-file", ": " + "9" * 20),
    table("a script as id", row_a("<script>alert(1)</script>,1,0"), "ids-without-file",
          ": <script>"),
    table("a million rows too many", million_rows, "ids-without-file", "1000000"),
]  # fmt: skip

NO_FILES = [
    table("a folder", Path.mkdir, "table-not-readable", "Is a directory"),
    table("a pipe", os.mkfifo, "table-not-regular-file"),
    table("a link to /dev/zero", links_to("/dev/zero"), "table-not-regular-file"),
    table("a link to itself", links_to(LABELS), "no-labels"),
    table("a broken link", links_to("gone"), "no-labels"),
    table("no labels", lambda _: None, "no-labels"),
]  # fmt: skip

OTHERS = [
    table("a template with other words", holds("id,yes,maybe\na,0,0\n"),
          "different-words", ": maybe, no", file=TEMPLATE),
    table("a template with a duplicate id", holds(HEADER + "t,0,0\nt,0,0\n"),
          "duplicate-ids", ": t", file=TEMPLATE),
    table("a template with ids without a file", holds(HEADER + "t,0,0\n../train/a,0,0\n"),
          "ids-without-file", ": ../train/a", file=TEMPLATE),
    table("a template with arbitrary cells", holds(HEADER + "t,,x\n"), file=TEMPLATE),
    table("a template with a trailing comma", holds(HEADER + "t,0,0,\n"),
          "ragged-rows", ": line 2", file=TEMPLATE),
    table("a template that is a pipe", os.mkfifo, "table-not-regular-file", file=TEMPLATE),
    table("groups without their column", holds("id,speaker\na,1\n"),
          "missing-columns", "group", file=GROUPS),
    table("groups with a duplicate id", holds("id,group\na,1\na,2\nb,1\nc,1\nd,1\n"),
          "duplicate-ids", ": a", file=GROUPS),
    table("groups without one of the clips", holds("id,group\na,1\nb,1\nc,1\n"),
          "clips-without-group", ": d", file=GROUPS),
    table("groups that are a pipe", os.mkfifo, "table-not-regular-file", file=GROUPS),
]  # fmt: skip

TABLES = [*ENCODINGS, *SHAPES, *CELLS, *IDS, *NO_FILES, *OTHERS]
EXPENSIVE = {"a million rows too many", "30,001 columns", "two gigabytes without a line break"}
"""Cases that are read in a process of their own, whose memory is measured."""
