"""Sphinx: Markdown pages, and the reference from docstrings."""

from __future__ import annotations

import sys
from pathlib import Path

import puremux

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "puremux"
author = "The puremux authors"
copyright = "the puremux authors"  # noqa: A001  Sphinx's name
release = version = puremux.__version__

extensions = ["from_source", "myst_parser", "sphinx.ext.autodoc", "sphinx.ext.intersphinx", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
intersphinx_mapping = {}  # nothing is looked up outside
exclude_patterns = ["_build"]

autodoc_default_options = {"members": True, "show-inheritance": True, "member-order": "bysource"}
autodoc_typehints = "signature"
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"puremux {version}"
html_copy_source = False
