"""The report of an ensemble, the picture of a clip, and the tables and plots that they share.

`report_data` reads the files of the workspace, `per_word` computes metrics per word, `plots` and
`clip_section` render, and `page` assembles one self-contained HTML file that loads nothing from
other hosts. All numbers come from the stored records and `overlap.metrics.divergence`. The picture
of a clip needs no workspace; a workspace adds ids, labels and the champion's prediction.
"""
