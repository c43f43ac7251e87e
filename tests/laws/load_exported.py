"""Load programs, and run them and their gradients: for `test_law_19_export`, where jaxrnn cannot be imported."""

import json
import pickle
import sys
from pathlib import Path

sys.modules["jaxrnn"] = None  # from here on `import jaxrnn` is an ImportError

import jax  # noqa: E402
import numpy as np  # noqa: E402
from jax import export  # noqa: E402

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_enable_x64", True)


def cotangent(want, given):
    """As `jax.vjp` expects it."""
    floating = np.issubdtype(want.dtype, np.floating)
    return given.astype(want.dtype) if floating else np.zeros(want.shape, jax.dtypes.float0)


def difference(case: dict) -> float:
    """Return the distance of the loaded program's results from those of the process that wrote it."""
    program = export.deserialize(case["program"])
    results, back = jax.vjp(program.call, *case["arguments"])
    gradients = back(jax.tree.map(cotangent, results, case["cotangents"]))[:3]
    got, want = jax.tree.leaves((results, gradients)), jax.tree.leaves(case["wanted"])
    pairs = [(np.asarray(a), np.asarray(b)) for a, b in zip(got, want, strict=True) if a.dtype != jax.dtypes.float0]
    return max(float(np.abs(a.astype(float) - b.astype(float)).max(initial=0)) for a, b in pairs)


def main(folder: str) -> None:
    """Every case in the folder."""
    cases = {path.stem: pickle.loads(path.read_bytes()) for path in sorted(Path(folder).glob("*.case"))}
    found = {name: difference(case) for name, case in cases.items()}
    print(json.dumps({"differences": found, "modules": [m for m in sys.modules if m.startswith("jaxrnn.")]}))


if __name__ == "__main__":
    main(sys.argv[1])
