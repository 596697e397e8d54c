"""Addresses agree with pathlib on a local disk, and with fsspec elsewhere."""

import secrets
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overlap.errors import UserError
from overlap.io.location import Location
from support.errors import raises
from support.trials import trial

PIECES = ("a", "B", ".", " ", "%20", "#", "?", "&", ":", "::", "\\", "~", "é", "*", "[0]", "\n")
SEGMENTS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join)
"""Names of files and folders, also `.`, `..`, `a::b`, `C:\\a` in its parts, and blanks."""
NAMES = SEGMENTS.filter(lambda name: name not in (".", ".."))
SLASHES = st.sampled_from(["/", "//", "///"])


@st.composite
def paths(draw: st.DrawFn) -> str:
    """Absolute paths and paths that begin with `./`, with repeated and final slashes."""
    begin = draw(st.sampled_from(["/", "//", "///", "./", "../", ".//"]))
    text = begin + "".join(name + draw(SLASHES) for name in draw(st.lists(SEGMENTS, max_size=4)))
    return text if draw(st.booleans()) else text.rstrip("/") or "/"


def of_pathlib(text: str) -> Path:
    """The absolute path, with one leading slash: POSIX leaves the meaning of two open."""
    return Path("/", str(Path(text).absolute()).lstrip("/"))


@given(paths())
def test_a_local_address_is_what_pathlib_makes_of_it(text: str) -> None:
    place, expected = Location.of(text), of_pathlib(text)
    assert (place.url, place.local) == (str(expected), expected)
    assert (place.name, place.parent.url) == (expected.name, str(expected.parent))
    assert (place / "x").url == str(expected / "x")
    assert Location.of(place.url) == place


@given(paths())
def test_every_local_address_ends_at_the_root(text: str) -> None:
    place = Location.of(text)
    for above in Path(place.url).parents:
        place = place.parent
        assert place.url == str(above)
    assert place.url == "/"
    assert place.parent == place


@given(paths(), SEGMENTS.filter(lambda name: not name.startswith("~")))
def test_a_child_knows_its_name_and_its_folder(text: str, name: str) -> None:
    folder = Location.of(text)
    assert ((folder / name).name, (folder / name).parent) == (name, folder)


@given(paths().map(lambda text: str(of_pathlib(text))).filter(lambda text: "::" not in text))
def test_a_file_url_is_the_path_that_fsspec_opens(path: str) -> None:
    assert fsspec.core.url_to_fs(f"file://{path}")[1] == path
    assert Location.of(f"file://{path}").url == path
    assert Location.of(f"file://{path}/") == Location.of(path)


KEYS = st.lists(NAMES.filter(lambda name: "::" not in name), min_size=1, max_size=4)


@pytest.mark.parametrize("protocol", ["s3", "memory"])
@given(KEYS, st.sampled_from(["", "/", "//"]))
def test_a_url_is_what_fsspec_makes_of_it(protocol: str, names: list[str], end: str) -> None:
    kind: Any = fsspec.get_filesystem_class(protocol)
    names = ["bucket", *names]
    url = f"{protocol}://{'/'.join(names)}"
    place = Location.of(url + end)
    assert kind._strip_protocol(place.url).strip("/") == kind._strip_protocol(url).strip("/")
    assert place.name == names[-1]
    above = kind._strip_protocol(place.parent.url)
    assert above.strip("/") == kind._parent(url).strip("/")
    assert place.parent / place.name == place
    assert (place / "x").parent == place
    for _ in names:
        place = place.parent
    assert (place.url, place.parent, place.name) == (f"{protocol}://", place, "")


# A name before `::` cannot end in a colon: fsspec's chains do not quote.
@given(KEYS.map(lambda names: [f"{name}." if name.endswith(":") else name for name in names]))
def test_a_path_in_an_archive_has_the_folders_of_the_archive_above_it(names: list[str]) -> None:
    place = archive = Location("zip://::/folder/data.zip")
    for name in names:
        assert (place / name).parent == place
        place /= name
        assert place.name == name
    for _ in names:
        place = place.parent
    assert (place, place.name) == (archive, "data.zip")
    assert [above.url for above in (place.parent, place.parent.parent)] == ["/folder", "/"]


@given(st.binary(max_size=8), KEYS)
def test_fsspec_reads_what_was_written_under_an_address(content: bytes, names: list[str]) -> None:
    root = Location.of(f"memory://{secrets.token_hex(8)}")
    place = root
    for name in names:
        place /= name
    place.write_bytes(content)
    try:
        with fsspec.open(place.url, "rb") as file:
            assert file.read() == content
        assert [entry.name for entry in place.parent.files()] == [names[-1]]
        assert place.parent.read_many([place.name]) == [content]
    finally:
        root.remove()


@trial(
    "R",
    "`overlap show /clip.wav`: a file of the root folder, and one of the same name in the current "
    "folder",
    "own",
    "The file of the current folder is read.",
    "The parent of `/clip.wav` is `/`; the file of the current folder is never read.",
)
def test_a_file_of_the_root_folder_is_not_read_from_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{secrets.token_hex(8)}.wav"
    (tmp_path / name).write_bytes(b"another clip")
    monkeypatch.chdir(tmp_path)
    place = Location.of(f"/{name}")
    assert (place.parent.url, place.name) == ("/", name)
    (found,) = place.parent.read_many([place.name])
    assert isinstance(found, FileNotFoundError)


@trial(
    "R",
    "A folder whose name contains `::`, as in `--data ./12::30`",
    "own",
    "Everything after `::` is cut off: another folder is read, or written.",
    "A path is never parsed: its name may contain `::`.",
)
@pytest.mark.parametrize("given_as", ["./12::30", "12::30", "{here}/12::30"])
def test_a_folder_with_two_colons_is_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given_as: str
) -> None:
    (tmp_path / "12::30").mkdir()
    (tmp_path / "12").mkdir()
    monkeypatch.chdir(tmp_path)
    place = Location.of(given_as.format(here=tmp_path))
    assert place.local == tmp_path / "12::30"
    (place / "a.wav").write_bytes(b"x")
    assert (tmp_path / "12::30" / "a.wav").read_bytes() == b"x"
    assert not any((tmp_path / "12").iterdir())


@trial(
    "R",
    "`--workspace memory://` or `s3://`: a URL without a path",
    "own",
    "Its slashes are cut off, and a local folder `memory:` receives the results.",
    "It stays the root of that file system.",
)
@pytest.mark.parametrize("url", ["memory://", "memory:///", "s3://"])
def test_a_url_without_a_path_is_no_local_folder(url: str) -> None:
    place = Location.of(url)
    root = f"{url.partition('://')[0]}://"
    assert (place.url, place.local) == (root, None)
    assert ((place / "bucket").url, (place / "bucket").parent) == (f"{root}bucket", place)


@trial(
    "R",
    "`--data //data/d`: two slashes at the beginning of a path",
    "own",
    "The features of `//data/d` and of `/data/d` belong to two data sets.",
    "Both are one address.",
)
def test_two_leading_slashes_are_one(tmp_path: Path) -> None:
    assert Location.of(f"/{tmp_path}") == Location.of(tmp_path)
    assert Location.of(f"//{tmp_path}/").parent == Location.of(tmp_path.parent)


@trial(
    "R",
    "Data on a bucket itself: `--data s3://bucket/` and `s3://bucket`",
    "own",
    "The parent of the bucket is `s3:/`, a folder of the local disk.",
    "Both are one address, below `s3://`.",
)
def test_a_bucket_with_and_without_a_slash() -> None:
    assert Location.of("s3://bucket/") == Location.of("s3://bucket")
    assert (Location.of("s3://bucket").parent.url, Location.of("s3://bucket").local) == (
        "s3://",
        None,
    )


@trial(
    "R",
    "A folder with blanks, `%20`, `#` and `?` in its name, as a path and as `file://`",
    "own",
    "correct",
    "The name is taken literally, in both spellings.",
)
@pytest.mark.parametrize("name", ["my data", "a%20b", "take #3", "what?", "C:\\clips", "~x"])
def test_names_are_taken_literally(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "a.wav").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    for text in (name, f"./{name}/", f"{tmp_path}/{name}", f"file://{tmp_path}/{name}/"):
        assert Location.of(text).local == tmp_path / name
        assert [entry.name for entry in Location.of(text).files()] == ["a.wav"]


def test_an_unknown_protocol_is_refused_and_a_chain_of_known_ones_is_not() -> None:
    with raises(UserError, "unknown-protocol"):
        Location.of("nonsense://a::b")
    assert Location.of("simplecache::memory://a/").url == "simplecache::memory://a"
    assert Location.of("zip::/a.zip").url == "zip://::/a.zip"
