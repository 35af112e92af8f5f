# SPDX-License-Identifier: MIT
"""Tables of the report, in HTML."""

import html
from collections.abc import Iterable


def table(head: Iterable[str], body: Iterable[Iterable[str]], texts: int) -> str:
    """The first columns are texts, the others numbers."""
    titles = "".join(f"<th>{html.escape(title)}</th>" for title in head)
    rows = "".join("<tr>" + "".join(f"<td{'' if i < texts else ' class=n'}>{html.escape(cell)}</td>"
                                    for i, cell in enumerate(cells)) + "</tr>" for cells in body)
    return f"<table><tr>{titles}</tr>{rows}</table>"
