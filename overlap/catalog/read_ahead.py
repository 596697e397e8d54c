"""Reading of many clip files in groups, one group ahead of the caller."""

from collections.abc import Generator, Sequence

from overlap.audio.decode import max_file_bytes
from overlap.config import AudioFormat
from overlap.io.bulk_read import Read, TooLargeError
from overlap.io.location import Location
from overlap.system.prefetch import Prefetcher

REMOTE_GROUP_FILES = 128
"""Files that `read_ahead` requests concurrently from an object store: enough to keep its
connections busy."""
LOCAL_GROUP_FILES = 32
"""Files that `read_ahead` reads at once from a local folder: few enough that their content is still
in the processor's cache when it is decoded."""
GROUP_BYTES = 64 << 20
"""Largest size of a group of files. Two groups are in memory; with clips of one second, that is
8 MB. A file larger than its share of this size is read separately when it is needed."""
USUAL_BYTES_PER_SAMPLE = 4
"""Bytes per sample of a clip that is read with its group: 16-bit stereo, or a doubled rate."""
CACHED_SECONDS = 50e-6
"""Longest time per file of a read from the page cache; a disk or a network takes longer."""


def read_group(wanted: AudioFormat, *, remote: bool) -> tuple[int, int]:
    """Return the number of files that are read at once, and the size limit of each in bytes.

    Examples:
        >>> read_group(AudioFormat(16000, 16000), remote=True)
        (128, 524288)
        >>> read_group(AudioFormat(48000, 60 * 48000), remote=True)
        (5, 13421772)
    """
    usual = USUAL_BYTES_PER_SAMPLE * wanted.samples
    size = max(1, min(REMOTE_GROUP_FILES if remote else LOCAL_GROUP_FILES, GROUP_BYTES // usual))
    return size, GROUP_BYTES // size


def read_ahead(data: Location, files: Sequence[str], wanted: AudioFormat) -> Generator[Read]:
    """Yield the contents of many files, reading one group ahead if reading takes time.

    Files are read in groups of at most `REMOTE_GROUP_FILES` or `LOCAL_GROUP_FILES`. A thread reads
    the next group while the caller uses the current one, unless that was read in less than
    `CACHED_SECONDS` per file: reads from the page cache do not wait, and two threads that contend
    for the interpreter's lock take three times as long. The thread ends with the generator, even if
    that is closed early.

    At most two groups of `GROUP_BYTES` each and one file of `max_file_bytes` are in memory.

    Args:
        data: The folder.
        files: Paths relative to it.
        wanted: The clip format, which determines the size limit of a file.

    Yields:
        For each file, in the order of `files`: its content, or the error that prevented reading it.
    """
    size, max_bytes = read_group(wanted, remote=data.local is None)

    groups = [files[start : start + size] for start in range(0, len(files), size)]
    contents = (data.read_many(group, max_bytes) for group in groups)
    with Prefetcher(contents, worthwhile_seconds=CACHED_SECONDS * size) as prefetched:
        for group, read in zip(groups, prefetched, strict=True):
            for file, content in zip(group, read, strict=True):
                if isinstance(content, TooLargeError):
                    yield from data.read_many([file], max_file_bytes(wanted))
                else:
                    yield content
