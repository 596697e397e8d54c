"""The report of an ensemble, the picture of a clip, and tables and figures that they share.

`report_data` reads what is known from the workspace's files, `per_word` finds which words are
mistaken, `charts` and `clip_section` draw, and `page` puts all of it together: one HTML file that
asks nothing of any host. Figures come from the records and the one scorer; nothing is worked out
twice. The picture of one clip needs no workspace; with one it knows ids, labels, and what the
champion predicts.
"""
