"""The order in which an epoch visits its clips.

Each epoch the chunks of the store are drawn in a new order and cut into windows of some
`training.shuffle_clips` clips; the clips of one window are shuffled among each other. Clips of
different windows never meet in a batch within that epoch. The order depends on seed and epoch
alone, not on where the features are kept: a member does not depend on what memory was free when
it was trained.
"""

import numpy as np
from numpy.typing import NDArray

from overlap.training.feed.memory_plan import window_chunks


def epoch_order(
    rows: NDArray[np.int64], chunk_clips: int, shuffle_clips: int, seed: tuple[int, ...]
) -> NDArray[np.int64]:
    """The order in which an epoch visits its rows: each exactly once.

    Args:
        rows: The rows.
        chunk_clips: Rows per chunk of the store.
        shuffle_clips: Rows per window, about.
        seed: Equal seeds give equal orders.
    """
    random = np.random.default_rng(seed)
    chunks = random.permutation(np.unique(rows // chunk_clips))
    place = np.empty(int(chunks.max()) + 1, np.int64)
    place[chunks] = np.arange(len(chunks)) // window_chunks(shuffle_clips, chunk_clips)
    window = place[rows // chunk_clips]
    return rows[np.lexsort((random.random(len(rows)), window))]
