"""Outputs that a user names: links, devices, pipes, modes, mounts, full and read-only disks."""

import errno
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from overlap.errors import UserError
from overlap.io import user_output
from overlap.io.atomic import new_folder
from overlap.io.location import Location
from overlap.io.user_output import check_output, is_stdout, output_location, write_output
from support.errors import raises
from support.file_systems import largest_file
from support.running_service import missing
from support.trials import trial

ROOT = os.geteuid() == 0


def write(path: Path | str, data: bytes = b"new") -> None:
    write_output(output_location(str(path)), data)


def nothing_left(folder: Path) -> bool:
    return not [*folder.glob(".*.part")]


@trial(
    "B",
    "`--out link.csv`, a symbolic link to a file",
    source="GothenburgBitFactory/timewarrior#547",
    before="the link is replaced, and its target keeps the old content",
    now="the link stays, and its target has the new content",
)
@pytest.mark.parametrize("chain", [False, True])
def test_a_link_stays_and_its_target_is_written(tmp_path: Path, chain: bool) -> None:
    real, link = tmp_path / "there" / "real.csv", tmp_path / "link.csv"
    real.parent.mkdir()
    real.write_bytes(b"old")
    if chain:
        (tmp_path / "middle").symlink_to("there/real.csv")
    link.symlink_to("middle" if chain else "there/real.csv")
    write(link)
    assert link.is_symlink()
    assert real.read_bytes() == b"new"
    assert nothing_left(real.parent)


@trial(
    "B",
    "a link to a file that does not exist yet",
    source="own",
    before="the link is replaced",
    now="the file is created where the link points, and the link stays",
)
def test_a_dangling_link(tmp_path: Path) -> None:
    link = tmp_path / "link.csv"
    link.symlink_to("later.csv")
    write(link)
    assert link.is_symlink()
    assert (tmp_path / "later.csv").read_bytes() == b"new"


@trial(
    "B",
    "links in a circle",
    source="own",
    before="one of them is replaced",
    now="`out-not-writable`, exit code 2",
)
def test_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with raises(UserError, "out-not-writable", path=str(tmp_path / "a")):
        write(tmp_path / "a")
    assert (tmp_path / "a").is_symlink()


@trial(
    "B",
    "an existing file with mode 0640, or with the setgid bit",
    source="own",
    before="mode 0644",
    now="the mode stays",
)
@pytest.mark.parametrize("mode", [0o640, 0o600, 0o2664, 0o777])
def test_the_mode_stays(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "preds.csv"
    file.write_bytes(b"old")
    file.chmod(mode)
    write(file)
    assert file.read_bytes() == b"new"
    assert stat.S_IMODE(file.stat().st_mode) == mode


@trial(
    "B",
    "root overwrites the file of another user",
    source="own",
    before="the file belongs to root",
    now="the owner and the group stay",
)
def test_the_owner_stays(tmp_path: Path) -> None:
    if not ROOT:
        missing("needs root")
    file = tmp_path / "preds.csv"
    file.write_bytes(b"old")
    os.chown(file, 1234, 4321)
    write(file)
    assert (file.read_bytes(), file.stat().st_uid, file.stat().st_gid) == (b"new", 1234, 4321)


def test_a_new_file_has_the_mode_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "sub" / "preds.csv")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "sub" / "preds.csv").stat().st_mode) == 0o640


@trial(
    "B",
    "a file with a second name (hard link)",
    source="own",
    before="the second name keeps the old content",
    now="both names have the new content, as after `>`",
)
def test_both_names_of_a_file(tmp_path: Path) -> None:
    file, other = tmp_path / "a.csv", tmp_path / "b.csv"
    file.write_bytes(b"old content")
    os.link(file, other)
    write(file)
    assert other.read_bytes() == b"new"


@trial(
    "B",
    "an extended attribute of the file",
    source="own",
    before="lost",
    now="kept",
)
def test_extended_attributes_stay(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(b"old")
    try:
        os.setxattr(file, "user.origin", b"me")
    except (OSError, AttributeError) as error:
        missing(f"no extended attributes here: {error}")
    write(file)
    assert os.getxattr(file, "user.origin") == b"me"


@pytest.fixture
def null(tmp_path: Path) -> Iterator[Path]:
    """A device like /dev/null."""
    if not ROOT:
        missing("mknod needs root")
    device = tmp_path / "dev"
    os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    yield device
    device.unlink()


@trial(
    "B",
    "`mknod dev c 1 3; overlap predict … --out dev`",
    source="own",
    before="the device becomes a regular file",
    now="it stays a device, which is written to",
)
def test_a_device_stays_a_device(null: Path) -> None:
    try:
        null.open("wb").close()
    except PermissionError as error:
        missing(f"devices cannot be opened in the temporary folder: {error}")
    write(null)
    assert stat.S_ISCHR(null.lstat().st_mode)


@trial(
    "B",
    "`--out /dev/full`, a device without space",
    source="own",
    before="the device becomes a regular file",
    now="`out-not-writable` with ENOSPC, exit code 2",
)
def test_a_full_device() -> None:
    with raises(UserError, "out-not-writable", reason="ENOSPC"):
        write("/dev/full", bytes(100_000))
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


@trial(
    "B",
    "a disk, `/dev/sda`, as output",
    source="own",
    before="the device node becomes a regular file",
    now="`out-is-block-device`, exit code 2",
)
def test_a_disk_is_refused(tmp_path: Path) -> None:
    if not ROOT:
        missing("mknod needs root")
    disk = tmp_path / "disk"
    os.mknod(disk, 0o600 | stat.S_IFBLK, os.makedev(7, 200))
    with raises(UserError, "out-is-block-device", path=str(disk)):
        write(disk)
    assert stat.S_ISBLK(disk.lstat().st_mode)


@trial(
    "B",
    "a named pipe with a reader",
    source="own",
    before="the pipe becomes a regular file, and the reader waits for ever",
    now="the reader receives the table",
)
def test_a_pipe_with_a_reader(tmp_path: Path) -> None:
    pipe, received = tmp_path / "pipe", list[bytes]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()), daemon=True)
    reader.start()
    write(pipe, bytes(range(256)) * 1000)
    reader.join(20)
    assert received == [bytes(range(256)) * 1000]
    assert pipe.is_fifo()


@trial(
    "B",
    "a named pipe that nobody reads",
    source="own",
    before="the pipe becomes a regular file",
    now="reported after 3 s; after a minute `out-not-writable`, exit code 2",
)
def test_a_pipe_without_a_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(user_output, "NOTICE_SECONDS", 0.2)
    monkeypatch.setattr(user_output, "READER_SECONDS", 0.5)
    os.mkfifo(tmp_path / "pipe")
    with raises(UserError, "out-not-writable", reason="ENXIO"):
        write(tmp_path / "pipe")
    assert f"{tmp_path / 'pipe'}: waiting for a reader" in capsys.readouterr().err


WRITE = "import sys; from overlap.io.user_output import *; "
WRITE += "write_output(output_location(sys.argv[1]), b'new\\n')"


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", line.replace("WRITE", f'"{sys.executable}" -c "{WRITE}"')],
        cwd=folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "output"),
    [
        pytest.param(
            "WRITE /dev/stdout | cat", "new\n",
            marks=trial(
                "B", "`--out /dev/stdout | cat`", source="own",
                before="FileNotFoundError: /proc/…/fd/.stdout….part", now="the table on the pipe",
            ),
        ),
        pytest.param(
            "WRITE - | cat", "new\n",
            marks=trial(
                "B", "`--out - | cat`", source="own", before="a file named `-`",
                now="the table on standard output",
            ),
        ),
        pytest.param(
            "echo kept > log; WRITE /dev/stdout >> log; cat log", "kept\nnew\n",
            marks=trial(
                "B", "`--out /dev/stdout >> log`", source="own",
                before="log is replaced or its beginning overwritten", now="appended",
            ),
        ),
        pytest.param(
            "WRITE /dev/fd/7 7> seven; cat seven", "new\n",
            marks=trial(
                "B", "`--out /dev/fd/7`", source="own", before="FileNotFoundError",
                now="written to the descriptor",
            ),
        ),
        pytest.param(
            "WRITE >(cat > got); sleep 0.5; cat got", "new\n",
            marks=trial(
                "B", "process substitution: `--out >(gzip > preds.csv.gz)`", source="own",
                before="FileNotFoundError", now="the process receives the table",
            ),
        ),
        pytest.param(
            "ln -s /dev/stdout link; WRITE link | cat", "new\n",
            marks=trial(
                "B", "a link to /dev/stdout, as images of web servers have for their logs",
                source="own", before="the link becomes a regular file",
                now="the table on standard output",
            ),
        ),
    ],
)  # fmt: skip
def test_open_descriptors(tmp_path: Path, line: str, output: str) -> None:
    done = shell(line, tmp_path)
    assert (done.stdout, done.stderr) == (output, "")
    assert not (tmp_path / "-").exists()


@trial(
    "B",
    "a descriptor that is closed: `--out /dev/fd/9`",
    source="own",
    before="FileNotFoundError",
    now="`out-not-writable` with EBADF, exit code 2",
)
def test_a_closed_descriptor(tmp_path: Path) -> None:
    assert "EBADF" not in str(tmp_path)
    with raises(UserError, "out-not-writable", reason="EBADF"):
        write("/dev/fd/987")


def test_standard_output_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/stdout")
    for name in ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", tmp_path / "link"):
        assert is_stdout(output_location(str(name)))
    for name in ("/dev/stderr", "/dev/null", tmp_path / "1", "s3://bucket/1"):
        assert not is_stdout(output_location(str(name)))


@trial(
    "B",
    "a folder, or a link to one",
    source="own",
    before="`out-is-folder`; the link is replaced by a file",
    now="`out-is-folder`",
)
def test_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(".")
    for path in (tmp_path, tmp_path / "link"):
        with raises(UserError, "out-is-folder", path=str(path)):
            check_output(Location.of(path), "preds.csv")


@trial(
    "B",
    "a socket as output",
    source="own",
    before="the socket becomes a regular file",
    now="`out-is-socket`, exit code 2",
)
def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a path of a socket is short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        with raises(UserError, "out-is-socket", path=str(tmp_path / "socket")):
            write(tmp_path / "socket")
    assert stat.S_ISSOCK((tmp_path / "socket").lstat().st_mode)


@trial(
    "B",
    "a name of 245 to 255 bytes",
    source="own",
    before="File name too long",
    now="written; a longer name ends in `out-not-writable`, exit code 2",
)
@pytest.mark.parametrize("name", ["a" * 241 + ".csv", "ü" * 125 + ".csv", "a" * 251 + ".csv"])
def test_a_long_name(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, b"old")
    write(tmp_path / name)
    assert (tmp_path / name).read_bytes() == b"new"
    assert len([*tmp_path.iterdir()]) == 1
    with raises(UserError, "out-not-writable", reason="ENAMETOOLONG"):
        write(tmp_path / ("x" * 256))


def test_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with raises(UserError, "out-not-writable", reason="ENOTDIR"):
        write(tmp_path / "file" / "preds.csv")


MOUNTED = """
import os, sys
from pathlib import Path
from overlap.errors import UserError
from overlap.io.atomic import new_folder
from overlap.io.user_output import output_location, write_output
file = sys.argv[1]
try:
    if len(sys.argv) > 2:
        with new_folder(Path(file)) as folder:
            (folder / "train").mkdir()
            (folder / "a.csv").write_text("new")
    else:
        write_output(output_location(file), b"new" * int(os.environ.get("TIMES", "1")))
except UserError as error:
    print(error.code, error.fields["reason"])
"""


def in_namespace(script: str, folder: Path, **extra: str) -> str:
    """Run a script as root in a mount namespace; $WRITE writes to the path that follows."""
    tools = [name for name in ("unshare", "mount") if not shutil.which(name)]
    if tools:
        missing(f"not installed: {', '.join(tools)}")
    code = folder / "write.py"
    code.write_text(MOUNTED)
    begin = ["unshare", "--mount"] if ROOT else ["unshare", "--mount", "--map-root-user"]
    test = subprocess.run(
        [*begin, "sh", "-c", f"mount --bind '{code}' '{code}'"], capture_output=True, check=False
    )
    if test.returncode:
        missing(f"mounts are not permitted here: {test.stderr.decode()}")
    return subprocess.run(
        [*begin, "sh", "-ec", script], cwd=folder, capture_output=True, text=True, check=True,
        env=os.environ | {"WRITE": f"{sys.executable} {code}"} | extra, timeout=60,
    ).stdout  # fmt: skip


@trial(
    "B",
    "`docker --volume preds.csv:/out/preds.csv`: the file itself is mounted",
    source="pallets/click#1512",
    before="Device or resource busy",
    now="written in place; what is mounted has the new content",
)
def test_a_mounted_file(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old and longer")
    (tmp_path / "out").touch()
    script = "mount --bind real out; $WRITE out; cat real; ls -A | grep part || true"
    assert in_namespace(script, tmp_path) == "new"


@trial(
    "B",
    "a writable file that is mounted in a read-only folder",
    source="own",
    before="Read-only file system",
    now="written in place",
)
def test_a_writable_file_in_a_read_only_folder(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "out").touch()
    (tmp_path / "real").write_text("old")
    script = (
        "mount --bind d d; mount -o remount,ro,bind d; mount --bind real d/out; $WRITE d/out; "
        "cat real"
    )
    assert in_namespace(script, tmp_path) == "new"


@trial(
    "B",
    "a read-only file system",
    source="own",
    before="exit code 1",
    now="`out-not-writable`, exit code 2, before any work; the old content stays",
)
def test_a_read_only_file_system(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "out").write_text("old")
    script = "mount --bind d d; mount -o remount,ro,bind d; $WRITE d/out; $WRITE d/new; cat d/out"
    said = in_namespace(script, tmp_path)
    assert said == "out-not-writable EACCES\nout-not-writable EACCES\nold"


@trial(
    "B",
    "a full disk",
    source="own",
    before="exit code 1",
    now="`out-not-writable` with ENOSPC, exit code 2; the old content stays",
)
@pytest.mark.parametrize("bound", ["", "mount --bind d/out d/out;"])
def test_a_full_disk_keeps_the_old_content(tmp_path: Path, bound: str) -> None:
    """Also where the file can only be written in place."""
    (tmp_path / "d").mkdir()
    script = (
        f"mount -t tmpfs -o size=64k none d; echo old > d/out; {bound}"
        "$WRITE d/out; cat d/out; ls -A d"
    )
    said = in_namespace(script, tmp_path, TIMES="100000")
    assert said == "out-not-writable ENOSPC\nold\nout\n"


@trial(
    "B",
    "`overlap mix --out VOLUME`, an empty volume of a container",
    source="own",
    before="Device or resource busy after the mixing",
    now="the volume is filled",
)
def test_a_mounted_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "out").mkdir()
    script = "mount --bind real out; $WRITE out folder; ls -A real; rm -r real/*;"
    script += "umount out; mount -t tmpfs none out; $WRITE out folder; ls -A out"
    assert in_namespace(script, tmp_path) == "a.csv\ntrain\n" * 2


@trial(
    "B",
    "`overlap synth --out LINK`, a link to an empty folder on another disk",
    source="own",
    before="NotADirectoryError after the work",
    now="the link stays, and its target is filled",
)
@pytest.mark.parametrize("exists", [False, True])
def test_a_link_to_a_folder(tmp_path: Path, exists: bool) -> None:
    (tmp_path / "link").symlink_to("real")
    if exists:
        (tmp_path / "real").mkdir()
    with new_folder(tmp_path / "link") as folder:
        (folder / "a.csv").write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert sorted(tmp_path.iterdir()) == [tmp_path / "link", tmp_path / "real"]
    assert [*(tmp_path / "real").iterdir()] == [tmp_path / "real" / "a.csv"]


@trial(
    "B",
    "an empty folder with the setgid bit and another mode",
    source="own",
    before="mode 0755",
    now="the mode stays",
)
def test_an_empty_folder_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(0o2770)
    with new_folder(tmp_path / "out") as folder:
        (folder / "a.csv").write_text("new")
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o2770
    assert (tmp_path / "out" / "a.csv").read_text() == "new"


def test_a_folder_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with (
        raises(UserError, "out-not-writable", reason="ENOTDIR"),
        new_folder(tmp_path / "file" / "out"),
    ):
        raise AssertionError


AS_NOBODY = """
import os, sys
from overlap.errors import UserError
from overlap.io.user_output import output_location, write_output
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    write_output(output_location(sys.argv[1]), b"new")
except UserError as error:
    print(error.code, error.fields["reason"])
"""


@pytest.mark.parametrize(
    ("folder", "file", "said", "content"),
    [
        pytest.param(
            0o755, 0o666, "", "new",
            marks=trial(
                "B", "the file is writable and its folder is not", source="own",
                before="Permission denied", now="written in place",
            ),
        ),
        pytest.param(
            0o1777, 0o666, "", "new",
            marks=trial(
                "B", "the file of another user in a folder such as /tmp", source="own",
                before="Operation not permitted", now="written in place; the owner stays",
            ),
        ),
        pytest.param(
            0o777, 0o644, "out-not-writable EACCES", "old",
            marks=trial(
                "B", "the file is read-only and its folder is writable", source="own",
                before="replaced by a writable file", now="`out-not-writable`, exit code 2",
            ),
        ),
    ],
)  # fmt: skip
def test_another_user(
    tmp_path_factory: pytest.TempPathFactory, folder: int, file: int, said: str, content: str
) -> None:
    if not ROOT:
        missing("needs root, to become another user")
    made = Path(f"/tmp/overlap-output-{os.getpid()}")
    made.mkdir()
    try:
        target = made / "preds.csv"
        target.write_text("old")
        target.chmod(file)
        made.chmod(folder)
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, str(target)],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert (done.stdout.strip(), done.stderr) == (said, "")
        assert (target.read_text(), target.stat().st_uid) == (content, 0)
        assert nothing_left(made)
    finally:
        shutil.rmtree(made)


@trial(
    "B",
    "a limit on the size of a file (`ulimit -f`)",
    source="own",
    before="exit code 1",
    now="`out-not-writable` with EFBIG, exit code 2; the old content stays",
)
def test_a_limit_on_the_size(tmp_path: Path) -> None:
    file = tmp_path / "preds.csv"
    file.write_bytes(b"old")
    with (
        largest_file(1000),
        raises(UserError, "out-not-writable", reason=errno.errorcode[errno.EFBIG]),
    ):
        write(file, bytes(5000))
    assert file.read_bytes() == b"old"
    assert nothing_left(tmp_path)
