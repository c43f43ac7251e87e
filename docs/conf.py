"""The site's build: `make docs` writes docs/_build/html, which reads offline."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))
sys.path.insert(0, str(Path(__file__).parent.parent))

import jaxrnn

project = "jaxrnn"
author = "The jaxrnn authors"
copyright = "2026, the jaxrnn authors"
version = release = jaxrnn.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.linkcode",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "offline_math",  # the rest lies in _ext
    "docstrings",
    "namespaces",
    "notebooks",
    "repository_links",
]
exclude_patterns = ["_build", "_ext"]
root_doc = "index"
suppress_warnings = ["ref.python"]  # `h` in backticks is a letter, though several carries have a field of that name

# Markdown and notebooks: these are shown as they were executed, by `make notebooks`
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "fieldlist", "attrs_inline", "attrs_block"]
myst_heading_anchors = 3
nb_execution_mode = "off"
nb_merge_streams = True

# docstrings: Args, Returns and Raises are sections, a name in backticks is a link where there is such a name
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Correction", "notes"), ("Reference", "notes"), ("References", "notes")]
default_role = "py:obj"
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "none"  # jaxtyping's shapes stand in the signature, and in Args in words
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
add_module_names = False
toc_object_entries_show_parents = "hide"
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = f"jaxrnn {release}"
html_favicon = "_static/favicon.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "source_repository": "https://github.com/jaxrnn/jaxrnn/",
    "source_branch": "main",
    "source_directory": "docs/",
    "top_of_page_buttons": ["view", "edit"],
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_here_doc_delimiter = "EOF"
