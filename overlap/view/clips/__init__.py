"""Pages of single clips: a table to search and filter, a page per clip, and the quarantine."""
