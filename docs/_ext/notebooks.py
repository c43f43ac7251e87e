"""The executed notebooks as pages of the site, and a gallery of their figures.

Both are written to docs/ before the build: notebooks/*.ipynb to docs/notebooks, the gallery to docs/gallery.
"""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path

from sphinx.application import Sphinx

GALLERY = """# Gallery

The figures of the notebooks. Each leads to the notebook that draws it.
"""


def write_notebooks(app: Sphinx) -> None:
    """Copy each notebook with a description of each figure, and write the gallery."""
    docs = Path(app.srcdir)
    for folder in (docs / "notebooks", docs / "gallery"):
        folder.mkdir(exist_ok=True)
    gallery = [GALLERY]
    for source in sorted(docs.parent.glob("notebooks/[0-9]*.ipynb")):
        notebook = json.loads(source.read_text().replace("](../docs/", "](../"))
        pictures = [(cell, alt, data) for cell, alt, data in figures(notebook)]
        for cell, alt, _ in pictures:
            cell["metadata"]["mystnb"] = {"image": {"alt": alt}}
        write(docs / "notebooks" / source.name, json.dumps(notebook).encode())
        gallery.append(section(docs, source.stem, title(notebook), pictures))
    write(docs / "gallery.md", "\n".join(gallery).encode())


def figures(notebook: dict) -> Iterator[tuple[dict, str, bytes]]:
    """Yield each cell with a figure, what the text before it says, and the figure."""
    said = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            said = description("".join(cell["source"])) or said
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", {}):
                yield cell, said, base64.b64decode("".join(output["data"]["image/png"]))


def description(text: str) -> str:
    """Return a heading and the first sentence beneath it, without markup."""
    paragraphs = [p for p in re.split(r"\n\s*\n|\n(?=#)|(?<=#)\n", text.strip()) if p.strip()]
    lines = " ".join(" ".join(re.sub(r"^#+ *(.*)", r"\1.", p, flags=re.M).split()) for p in paragraphs[:2])
    plain = re.sub(r"\$+[^$]*\$+|[`*_\[\]]|\(\S*\)", "", lines)
    return plain[:200].rsplit(". ", 1)[0].rstrip(".") + "." if plain else ""


def title(notebook: dict) -> str:
    """Return the first heading."""
    return next(
        line.lstrip("# \n").rstrip() for cell in notebook["cells"] for line in cell["source"] if line.startswith("# ")
    )


def section(docs: Path, stem: str, heading: str, pictures: list) -> str:
    """Write a notebook's figures to docs/gallery, and return its part of the page."""
    parts = [f"## {heading}\n", "::::{grid} 2 2 3 3\n:gutter: 2\n"]
    for i, (_, alt, data) in enumerate(pictures):
        write(docs / "gallery" / f"{stem}_{i}.png", data)
        parts.append(
            f":::{{grid-item}}\n```{{image}} gallery/{stem}_{i}.png\n:alt: {alt}\n:target: notebooks/{stem}.html\n"
            ":loading: lazy\n```\n:::\n"
        )
    return "\n".join([*parts, "::::\n"])


def write(path: Path, data: bytes) -> None:
    """Write a file unless it holds that already: what did not change is not read again."""
    if not path.exists() or path.read_bytes() != data:
        path.write_bytes(data)


def setup(app: Sphinx) -> dict:
    app.connect("builder-inited", write_notebooks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
