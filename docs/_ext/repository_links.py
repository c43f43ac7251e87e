"""Links between the site and the repository, in both directions."""

import importlib
import inspect
import re
from pathlib import Path

from sphinx.application import Sphinx

REPOSITORY = "https://github.com/jaxrnn/jaxrnn/"
MAIN = REPOSITORY + "blob/main/"
INCLUDED = {"contributing": "CONTRIBUTING.md", "changelog": "CHANGELOG.md"}


def rewrite(app: Sphinx, page: str, source: list[str]) -> None:
    """Send links to notebooks to their pages, and links to the site's own pages on GitHub to the pages here."""
    source[0] = source[0].replace("](../notebooks/", "](/notebooks/")
    source[0] = re.sub(r"\]\(" + re.escape(MAIN) + r"docs/(\w+\.md)", r"](/\1", source[0])


def edit_link(app: Sphinx, page: str, template: str, context: dict, doctree: object) -> None:
    """Let "edit this page" lead to the file that a generated page was made from; without one, it is left out."""
    folder, _, name = page.rpartition("/")
    if folder == "notebooks":
        file = f"notebooks/{name}.py"
    elif folder == "reference" and name != "index":
        file = name.replace(".", "/") + "/__init__.py"
    elif page in INCLUDED:
        file = INCLUDED[page]
    else:
        if page in ("gallery", "reference/index"):
            context["page_source_suffix"] = ""
        return
    context["theme_source_edit_link"] = f"{REPOSITORY}edit/main/{file}"
    context["theme_source_view_link"] = MAIN + file


def source_link(domain: str, entry: dict) -> str | None:
    """Return the address of the lines that define a public name."""
    value = importlib.import_module(entry["module"])
    for name in entry["fullname"].split("."):
        value = getattr(value, name, None)
    try:
        file = Path(inspect.getsourcefile(inspect.unwrap(value))).resolve()
        lines, first = inspect.getsourcelines(inspect.unwrap(value))
    except (TypeError, OSError):  # a field, or a value
        return None
    root = Path(__file__).parent.parent.parent.resolve()
    if not file.is_relative_to(root / "jaxrnn"):
        return None
    return f"{MAIN}{file.relative_to(root).as_posix()}#L{first}-L{first + len(lines) - 1}"


def setup(app: Sphinx) -> dict:
    app.config.linkcode_resolve = source_link
    app.connect("source-read", rewrite)
    app.connect("html-page-context", edit_link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
