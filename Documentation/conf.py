# SPDX-License-Identifier: GPL-2.0-only
"""The documentation as a site: `make docs` (tools/xen-tests/lab/docs.sh) runs Sphinx on this.

GM_KTREE names the kernel's source tree: kernel-doc and its Sphinx extension are the kernel's
own. Nothing of them is in this repository.
"""

import os
import re
import sys

import furo

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
KTREE = os.environ["GM_KTREE"]

sys.path[:0] = [os.path.join(TOP, "Documentation/sphinx"), os.path.join(KTREE, "Documentation/sphinx")]

project = "grantmirror"
copyright = "the authors of grantmirror; GPL-2.0-only"  # pylint: disable=redefined-builtin
release = os.environ.get("GM_RELEASE", "")

extensions = ["myst_parser", "kerneldoc", "drawing", "house"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
root_doc = "index"
exclude_patterns = ["requirements/*"]
smartquotes = False
highlight_language = "none"
primary_domain = "c"
# What kernel-doc makes of the kernel's own words in a prototype
c_id_attributes = ["__user", "__aligned_u64"]
myst_heading_anchors = 3

kerneldoc_bin = os.path.join(KTREE, "scripts/kernel-doc")
kerneldoc_srctree = TOP

# house.py: pages whose text lies elsewhere, because that is where people look for it
house_top = TOP
house_kernel = KTREE
house_elsewhere = {
    "index": "README.md",
    "tests": "tools/xen-tests/README.md",
    "model": "tools/xen-tests/model/README.md",
}


def dark_variables():
    """The dark colours of the theme, for a browser that asks for dark pages.

    Debian's build of furo 2022.12 has lost its @media (prefers-color-scheme: dark): only
    the button makes it dark. Those that are set in the theme's options are for both.
    """
    css = os.path.join(os.path.dirname(furo.__file__), "theme/furo/static/styles/furo.css")
    with open(css, encoding="utf-8") as file:
        block = re.search(r'body\[data-theme="dark"\] \{(.*?)\}', file.read(), re.S)
    return dict(re.findall(r"--([\w-]+):\s*([^;]+);", block[1])) if block else {}


html_theme = "furo"
html_title = "grantmirror"
html_static_path = ["sphinx/static"]
html_css_files = ["grantmirror.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "navigation_with_keys": True,
    "dark_css_variables": dark_variables(),
}
pygments_style = "friendly"
pygments_dark_style = "one-dark"
