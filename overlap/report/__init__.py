"""The report of a published ensemble: one HTML file that asks nothing of any host.

`facts` reads what is known from the workspace's files, `words` finds which words are mistaken,
`charts` and `clips` draw, and `page` puts all of it together. Figures come from the records and
the one scorer; nothing is worked out twice.
"""

from overlap.report.page import write_report

__all__ = ["write_report"]
