"""Docstrings as reStructuredText: |x| is a norm, and a value's docstring is the one beneath its assignment."""

import inspect
import itertools
import pkgutil
import re

from sphinx.application import Sphinx
from sphinx.errors import PycodeError
from sphinx.pycode import ModuleAnalyzer

import jaxrnn


def escape(app: Sphinx, what: str, name: str, value: object, options: dict, lines: list[str]) -> None:
    """Make indented equations blocks of text, and escape in prose what reStructuredText would read as markup."""
    if what in ("data", "attribute") and lines[:1] == (inspect.getdoc(type(value)) or "").splitlines()[:1]:
        lines[:] = value_docstring(name.rpartition(".")[2])
    lines[:] = marked_up(lines)
    if what in ("data", "attribute", "property"):
        lines[:0] = ["..", ""]  # an empty comment: napoleon takes the first line up to a colon for a type


def marked_up(lines: list[str]) -> list[str]:
    """Mark each paragraph that is indented by four more than the text before it as a block of text."""
    result, base, literal = [], 0, False
    for blank, paragraph in itertools.groupby(lines, lambda line: not line.strip()):
        paragraph = list(paragraph)
        if blank or paragraph[0].lstrip().startswith(">>>"):
            result += paragraph
        elif all(re.match(r"\s*\|.*\|\s*$", line) for line in paragraph):
            result += table(paragraph)
        elif indent(paragraph[0]) >= base + 4:
            result += paragraph if literal else [" " * base + ".. code-block:: text", "", *paragraph]
            literal = True
        else:
            result += prose("\n".join(paragraph)).split("\n")
            base, literal = indent(paragraph[-1]), False
    return result


def table(lines: list[str]) -> list[str]:
    """Turn a Markdown table into a list-table."""
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]] for line in lines]
    head = {0} if re.fullmatch(r"[\s|:-]+", lines[1]) else set()
    result = [".. list-table::", "   :header-rows: 1" if head else "", ""]
    for row in (r for r in rows if not re.fullmatch(r"[:-]*", "".join(r)) or not "".join(r)):
        result += [f"   {'* -' if i == 0 else '  -'} {prose(cell)}" for i, cell in enumerate(row)]
    return result


def indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def prose(text: str) -> str:
    """Escape |, ** and lone backticks outside of code; `a name` stays a link, `other code` becomes a literal."""
    parts = re.split(r"(``.+?``|`[^`]+`)", text, flags=re.DOTALL)
    return "".join(code(p) if p.startswith("`") and len(p) > 2 else re.sub(r"\||\*\*|`", r"\\\g<0>", p) for p in parts)


def code(text: str) -> str:
    """Return a name as a link and other code as a literal, either of which may end within a word: `unit`s."""
    text = re.sub(r"\n *", " ", text)
    return (text if re.fullmatch(r"`[\w.]+`|``.*", text, flags=re.DOTALL) else f"`{text}`") + r"\ "


def value_docstring(name: str) -> list[str]:
    """Return the string beneath the assignment of a module's value, wherever in the library it is assigned."""
    for module in pkgutil.walk_packages(jaxrnn.__path__, "jaxrnn."):
        try:
            documented = ModuleAnalyzer.for_module(module.name).find_attr_docs()
        except PycodeError:
            continue
        if ("", name) in documented:
            return documented["", name]
    return []


def setup(app: Sphinx) -> dict:
    app.connect("autodoc-process-docstring", escape, priority=100)  # before napoleon
    return {"parallel_read_safe": True, "parallel_write_safe": True}
