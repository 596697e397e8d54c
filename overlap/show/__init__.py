"""One clip for a person to look at: its features, what is said of it, and what is true.

It needs no workspace; with one it knows ids, labels, and what the champion predicts.
"""

from overlap.show.draw import draw_clip
from overlap.show.look import Said, ShownClip, look_at

__all__ = ["Said", "ShownClip", "draw_clip", "look_at"]
