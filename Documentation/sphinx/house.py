# SPDX-License-Identifier: GPL-2.0-only
"""What ties the pages to the tree that they describe.

 - Pages whose text lies elsewhere (house_elsewhere): what the page's own file has follows it.
 - `function()` and `struct name` in the text are links to the API reference, if it has them.
 - `mm/hmm.c`: a file that is named must be there, in our tree or the kernel's. A build with
   warnings as errors then fails when one is renamed and a page forgotten.
"""

import glob
import os
import re

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.util import logging

log = logging.getLogger(__name__)

# A file or folder of the tree: begins with one of these, and is nothing but a path
FOLDERS = "arch|configs|Documentation|drivers|include|mm|scripts|tools"
PATH = re.compile(rf"(?:{FOLDERS})/[\w./*{{}},-]*")
CODE = re.compile(r"(?:(struct|enum|union) )?([A-Za-z_]\w+)(\(\))?")


def read_elsewhere(app, docname, source):
    """Puts the text from elsewhere before the page's own; its links are those of its place."""
    path = app.config.house_elsewhere.get(docname)
    if not path:
        return
    top = app.config.house_top
    pages = {file: page + ".md" for page, file in app.config.house_elsewhere.items()}

    def link(match):
        target = os.path.normpath(os.path.join(os.path.dirname(path), match[1]))
        if target in pages:
            return f"]({pages[target]})"
        return f"]({os.path.relpath(os.path.join(top, target), app.srcdir)})"

    app.env.note_dependency(os.path.relpath(os.path.join(top, path), app.srcdir))
    with open(os.path.join(top, path), encoding="utf-8") as file:
        text = file.read()
    text = re.sub(r"\]\((?!https?:|#)([^)#]+)\)", link, text)
    source[0] = text + "\n" + source[0]


def braces(pattern):
    """What a shell makes of one {a,b}."""
    found = re.search(r"\{([^{}]*)\}", pattern)
    if not found:
        return [pattern]
    return [pattern[:found.start()] + word + pattern[found.end():] for word in found[1].split(",")]


def is_there(app, pattern):
    """Programs go without the .c of their source; the kernel's selftests by their folder."""
    kernel = app.config.house_kernel
    roots = (app.config.house_top, kernel, os.path.join(kernel, "tools/testing/selftests"))
    return all(any(glob.glob(os.path.join(root, path + end))
                   for root in roots for end in ("", ".c", ".sh"))
               for path in braces(pattern))


def check_paths(app, doctree):
    for node in doctree.findall(nodes.literal):
        text = node.astext()
        if PATH.fullmatch(text) and not is_there(app, text):
            log.warning("%s is neither in this tree nor in the kernel's", text, location=node)


def link_code(app, doctree, docname):
    """Code in the text becomes a link where the reference has something of that name."""
    domain = app.env.get_domain("c")
    for node in list(doctree.findall(nodes.literal)):
        match = CODE.fullmatch(node.astext())
        if not match or not (match[1] or match[3]):
            continue
        if isinstance(node.parent, nodes.reference):
            continue
        role = match[1] or "func"
        xref = pending_xref("", refdomain="c", reftype=role, reftarget=match[2])
        link = domain.resolve_xref(app.env, docname, app.builder, role, match[2], xref,
                                   node.deepcopy())
        if link is not None:
            node.replace_self(link)


def setup(app):
    app.add_config_value("house_top", None, "env")
    app.add_config_value("house_kernel", None, "env")
    app.add_config_value("house_elsewhere", {}, "env")
    app.connect("source-read", read_elsewhere)
    app.connect("doctree-read", check_paths)
    app.connect("doctree-resolved", link_code)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
