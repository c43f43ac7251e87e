"""Run the notebooks: every `NN_title.py` (jupytext percent) is executed into the `NN_title.ipynb` beside it.

    python notebooks/run.py              # all of them
    python notebooks/run.py 01 02        # those whose names begin so
    python notebooks/run.py --check      # run them, write nothing

A cell that raises is printed with its traceback, and the exit code is 1.
"""

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import jupytext
import nbclient
from nbclient.exceptions import CellExecutionError

HERE = Path(__file__).parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prefix", nargs="*", help="begin of the names to run; all, if none is given")
    parser.add_argument("--check", action="store_true", help="run, but write no .ipynb")
    parser.add_argument("--at-once", type=int, default=2, help="how many run side by side (2)")
    options = parser.parse_args()
    sources = [p for p in sorted(HERE.glob("[0-9]*.py")) if p.name.startswith(tuple(options.prefix) or "")]
    if not sources:
        print(f"no notebook begins with {' or '.join(options.prefix)}", file=sys.stderr)
        return 2
    with ThreadPoolExecutor(max(1, options.at_once)) as pool:
        failures = sum(pool.map(partial(run, write=not options.check), sources))
    return 1 if failures else 0


def run(source: Path, *, write: bool) -> bool:
    """Execute one notebook in its own kernel; return whether it failed."""
    start = time.perf_counter()
    notebook = jupytext.read(source)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    client = nbclient.NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(HERE)}})
    try:
        client.execute()
    except CellExecutionError as error:
        print(f"{source.name}: {error}", file=sys.stderr)
        return True
    if write:
        for i, cell in enumerate(notebook.cells):  # the same bytes for the same results
            cell["id"] = f"cell-{i}"
            cell.metadata.pop("execution", None)
        jupytext.write(notebook, source.with_suffix(".ipynb"))
    print(f"{source.name}: ran in {time.perf_counter() - start:.0f} s", flush=True)
    return False


if __name__ == "__main__":
    sys.exit(main())
