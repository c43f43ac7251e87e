"""Links that work on GitHub work in the site: a page links to `../notebooks/01_….ipynb`, which lies beside it here."""

import re

from sphinx.application import Sphinx

REPOSITORY = "https://github.com/jaxrnn/jaxrnn/blob/main/"


def rewrite(app: Sphinx, page: str, source: list[str]) -> None:
    """Send links to notebooks to their pages, and links to the site's own pages on GitHub to the pages here."""
    source[0] = source[0].replace("](../notebooks/", "](/notebooks/")
    source[0] = re.sub(r"\]\(" + re.escape(REPOSITORY) + r"docs/(\w+\.md)", r"](/\1", source[0])


def setup(app: Sphinx) -> dict:
    app.connect("source-read", rewrite)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
