"""The order in which an epoch visits its clips.

In each epoch the chunks of the store are shuffled and divided into windows of about
`training.shuffle_clips` clips; the clips within a window are shuffled. A window is complete before
the next one begins. The order depends only on seed and epoch, not on where the features are kept,
so that a member does not depend on the memory that was free when it was trained.
"""

import numpy as np
from numpy.typing import NDArray

from overlap.training.feed.memory_plan import window_chunks


def epoch_order(
    rows: NDArray[np.int64], chunk_clips: int, shuffle_clips: int, seed: tuple[int, ...]
) -> NDArray[np.int64]:
    """Return the order in which an epoch visits its rows, each exactly once.

    Args:
        rows: The rows.
        chunk_clips: Rows per chunk of the store.
        shuffle_clips: Approximate number of rows per window.
        seed: Equal seeds give equal orders.
    """
    random = np.random.default_rng(seed)
    chunks = random.permutation(np.unique(rows // chunk_clips))
    window_of = np.empty(int(chunks.max()) + 1, np.int64)
    window_of[chunks] = np.arange(len(chunks)) // window_chunks(shuffle_clips, chunk_clips)
    window = window_of[rows // chunk_clips]
    return rows[np.lexsort((random.random(len(rows)), window))]
