# SPDX-License-Identifier: GPL-2.0-only
"""Directive "drawing": a graphviz file as an SVG that is part of the page.

    ```{drawing} drawings/house.dot
    :alt: what it shows, for those who do not see it

    The line below it.
    ```

As part of the page, and not as an image, it takes the page's colours: the style sheet has
those for light and dark, by the class that the .dot file gives to a node or an edge.
"""

import re
import subprocess

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective


def render(path):
    """SVG of a .dot file, without what a page has once: prolog, ids, titles of nodes."""
    try:
        dot = subprocess.run(["dot", "-Tsvg", path], capture_output=True, text=True, check=False)
    except FileNotFoundError as err:
        raise ValueError("dot is missing: install the package graphviz") from err
    if dot.returncode or dot.stderr:
        raise ValueError(f"dot {path}: {dot.stderr.strip()}")
    svg = dot.stdout[dot.stdout.index("<svg"):]
    svg = re.sub(r"<!--.*?-->\n?|<title>.*?</title>\n?", "", svg, flags=re.S)
    svg = re.sub(r' id="[^"]*"', "", svg)
    # The background is the page's.
    return re.sub(r'<polygon fill="white" stroke="(?:none|transparent)"[^>]*/>\n?', "", svg, count=1)


class Drawing(SphinxDirective):
    """See the top of this file."""

    required_arguments = 1
    has_content = True
    option_spec = {"alt": directives.unchanged_required}

    def run(self):
        relative, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(relative)
        if "alt" not in self.options:
            raise self.error("a drawing needs :alt:, what it shows in words")
        try:
            svg = render(path)
        except (OSError, ValueError) as err:
            raise self.error(str(err)) from err

        alt = nodes.unescape(self.options["alt"])
        alt = alt.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
        svg = svg.replace("<svg", f'<svg role="img" aria-label="{alt}"', 1)
        figure = nodes.figure(classes=["drawing"])
        figure += nodes.raw("", f'<div class="drawing-scroll" tabindex="0">{svg}</div>', format="html")
        if self.content:
            parsed = nodes.Element()
            self.state.nested_parse(self.content, self.content_offset, parsed)
            figure += nodes.caption("", "", *parsed[0].children)
        return [figure]


def setup(app):
    app.add_directive("drawing", Drawing)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
