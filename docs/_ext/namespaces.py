"""The reference: one page a namespace, written before the build from each namespace's `__all__`.

The build fails if a public name has no entry, so a name that is exported is a name that can be looked up.
"""

import importlib
import inspect
import pkgutil
from pathlib import Path
from types import ModuleType

from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

import jaxrnn

LEFT_OUT = ("jaxrnn.commands",)  # the command line: `jaxrnn --help`
logger = logging.getLogger(__name__)


def namespaces() -> list[ModuleType]:
    """Return every package of jaxrnn that exports something, in alphabetical order."""
    found = [m.name for m in pkgutil.walk_packages(jaxrnn.__path__, "jaxrnn.") if m.ispkg]
    modules = [importlib.import_module(name) for name in sorted(found) if not name.startswith(LEFT_OUT)]
    return [m for m in modules if exported(m)]


def exported(module: ModuleType) -> list[str]:
    """Return the public names of a namespace that are not themselves namespaces."""
    return [name for name in getattr(module, "__all__", ()) if not inspect.ismodule(getattr(module, name))]


def write_pages(app: Sphinx) -> None:
    """Write docs/reference/*.rst; a page that did not change is left alone, so that it is not read again."""
    folder = Path(app.srcdir, "reference")
    folder.mkdir(exist_ok=True)
    modules = namespaces()
    pages = {f"{m.__name__}.rst": page(m) for m in modules} | {"index.rst": index(modules)}
    for name, text in pages.items():
        if not (folder / name).exists() or (folder / name).read_text() != text:
            (folder / name).write_text(text)
    for stale in set(folder.glob("*.rst")) - {folder / name for name in pages}:
        stale.unlink()


def page(module: ModuleType) -> str:
    """Return the page of a namespace: its docstring, a table of its names, and the entry of each."""
    name, names = module.__name__, exported(module)
    parts = [title(name), f".. automodule:: {name}\n   :no-members:\n", ".. autosummary::\n   :nosignatures:\n"]
    parts += ["\n".join(f"   {each}" for each in names) + "\n"]
    parts += [f".. {directive(getattr(module, each))}:: {name}.{each}\n" for each in names]
    return "\n".join(parts)


def index(modules: list[ModuleType]) -> str:
    """Return the reference's first page: the namespaces, and where each name of the top level has its entry."""
    parts = [title("Reference"), "Each folder of the library is a namespace, and each namespace a page.\n"]
    parts += [".. toctree::\n   :maxdepth: 1\n"] + [f"   {m.__name__}" for m in modules]
    parts += ["", title("Names of the top level", "-"), ".. list-table::\n   :widths: 30 70\n"]
    for name in sorted(exported(jaxrnn), key=str.lower):
        value = getattr(jaxrnn, name)
        homes = [m.__name__ for m in modules if name in exported(m) and getattr(m, name) is value]
        entry = f":py:obj:`jaxrnn.{name} <{homes[0]}.{name}>`" if homes else f"``jaxrnn.{name}``"
        parts.append(f"   * - {entry}\n     - {first_line(value)}")
    return "\n".join(parts) + "\n"


def directive(value: object) -> str:
    """Return the autodoc directive for a value."""
    if inspect.isclass(value):
        return "autoclass"
    return "autofunction" if callable(value) and hasattr(value, "__name__") else "autodata"


def first_line(value: object) -> str:
    """Return the first sentence of a docstring, as text that no markup is read from."""
    line = (inspect.getdoc(value) or "").partition("\n")[0]
    return line.replace("*", r"\*").replace("|", r"\|").replace("_", r"\_")


def title(text: str, mark: str = "=") -> str:
    return f"{text}\n{mark * len(text)}\n"


def check_coverage(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn, and so fail the build, of each public name without an entry."""
    entries = env.domains["py"].objects
    for module in namespaces():
        for name in exported(module):
            if f"{module.__name__}.{name}" not in entries:
                logger.warning("%s.%s is public and has no entry in the reference", module.__name__, name)


def check_link(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: object) -> None:
    """Warn, and so fail the build, of a page's link to a name that is not there."""
    target = node.get("reftarget", "")
    if target.startswith("jaxrnn.") and node.get("refexplicit") is not None and node.source and ".md" in node.source:
        logger.warning("%s is not in the reference", target, location=node)


def setup(app: Sphinx) -> dict:
    app.connect("builder-inited", write_pages)
    app.connect("env-check-consistency", check_coverage)
    app.connect("missing-reference", check_link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
