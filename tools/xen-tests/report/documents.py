# SPDX-License-Identifier: GPL-2.0-only
"""Tables of Documentation/, as the page shows them."""
import re
from dataclasses import dataclass

from markdown_it import MarkdownIt

MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")


@dataclass
class Row:
    """A row of the list of defects: HTML of what each kernel does."""

    ident: str
    stock: str
    ours: str


def inline_html(text):
    """Links lead to files beside the page, which it has to do without."""
    return re.sub(r"</?a\b[^>]*>", "", MARKDOWN.renderInline(text))


def tables(text):
    """Every table: rows of cells, the head first, in Markdown."""
    table = row = None
    for token in MARKDOWN.parse(text):
        if token.type == "table_open":
            table = []
        elif token.type == "table_close":
            yield table
            row = None
        elif token.type == "tr_open":
            row = []
            table.append(row)
        elif token.type == "inline" and token.level and row is not None:
            row.append(token.content)


def defects(path):
    """Rows of the tables "id | on stock | on ours" whose id is one of the lists G, N, H."""
    for head, *rows in tables(path.read_text(encoding="utf-8")):
        if head[:1] != ["id"] or len(head) != 3 or "stock" not in head[1]:
            continue
        for ident, stock, ours in rows:
            if re.fullmatch(r"[GNH]\d+(, [GNH]\d+)*", ident):
                yield Row(ident, inline_html(stock), inline_html(ours))


def states(path):
    """Ids of the defects, with what Documentation/requirements.md says of their state."""
    found = {}
    for head, *rows in tables(path.read_text(encoding="utf-8")):
        if head[:2] == ["id", "state on ours"]:
            found.update({row[0]: inline_html(row[1]) for row in rows})
    return found
