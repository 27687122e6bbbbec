"""Sphinx: the documents of this folder and the API from docstrings, as web pages (``make docs``)."""

import inspect
from typing import Any

from sphinx.util.inspect import stringify_signature

from kcompile import __version__

project = "kcompile"
copyright = "the kcompile authors"
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = f"kcompile {release}"
exclude_patterns = ["_build"]
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_numpy_docstring = False
myst_heading_anchors = 3
# Links to files of the repository that are no pages; aliases are documented where they are defined.
suppress_warnings = ["myst.xref_missing", "misc.highlighting_failure"]


def with_arguments(app: Any, what: str, name: str, item: Any, options: Any, signature: str | None, result: Any) -> Any:
    """The arguments of ``__init__`` where ``__new__`` takes any."""
    if what == "class" and signature is not None and signature.startswith("(*args"):
        arguments = stringify_signature(inspect.signature(item.__init__), show_annotation=False)
        return arguments.replace("(self, ", "(").replace("(/, ", "("), None
    return None


def setup(app: Any) -> None:
    app.connect("autodoc-process-signature", with_arguments)
