"""MathJax from a package, copied into the site, so that formulas are set without a network."""

import shutil
from importlib.metadata import files
from pathlib import Path

from sphinx.application import Sphinx

NEEDED = ("es5/tex-chtml.js", "es5/output/chtml/fonts/woff-v2/", "es5/input/tex/extensions/")


def copy_mathjax(app: Sphinx, error: Exception | None) -> None:
    """Copy the script, its fonts, and what it loads for a rare command, to `_static/mathjax`."""
    if error or app.builder.format != "html":
        return
    for file in files("django-static-mathjax"):
        _, is_mathjax, name = str(file).partition("static/mathjax/")
        if is_mathjax and name.startswith(NEEDED):
            target = Path(app.outdir, "_static/mathjax", name.removeprefix("es5/"))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.locate(), target)


def setup(app: Sphinx) -> dict:
    app.config.mathjax_path = "mathjax/tex-chtml.js"
    app.config.mathjax3_config = {
        "options": {"enableMenu": False},  # the menu would load what is not copied
        "chtml": {"scale": 0.95},
    }
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
