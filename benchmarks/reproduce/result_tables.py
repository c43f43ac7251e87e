"""A table of results in Markdown, with the dates of their measurement below it."""

from collections.abc import Iterable

from benchmarks.reproduce.results import Record, in_words

NOT_MEASURED = ["Not measured yet."]


def table(header: Iterable[str], rows: Iterable[Iterable[str]], records: list[Record]) -> list[str]:
    """Return a table in Markdown, with the dates of its records below it."""
    header = list(header)
    lines = [header, ["---"] * len(header), *map(list, rows)]
    written = ([cell.replace("|", "\\|") for cell in cells] for cells in lines)
    return [f"| {' | '.join(cells)} |" for cells in written] + ["", stamp(records)]


def stamp(records: list[Record]) -> str:
    """Tell when records were measured, at which commits, with which JAX, and how long it took."""
    if not records:
        return NOT_MEASURED[0]
    at = sorted({(r.when["date"], r.when.get("commit", ""), r.when.get("jax", "")) for r in records})
    said = [f"{date} at {commit}" + (f" with JAX {jax}" if jax else "") for date, commit, jax in at]
    seconds = [r.cpu_seconds for r in records if r.cpu_seconds is not None]
    took = f" {in_words(sum(seconds))} of CPU time." if len(seconds) == len(records) else ""
    return f"Measured {'; '.join(said)}.{took}"
