"""Try the wheel in `dist/` as a stranger would: in an empty environment, from an empty folder.

    python .ci/try_wheel.py

First the core alone: what it installs, what it imports, a training step, and the command's advice.  Then `jaxrnn[cli]`:
a short training run and its evaluation.
"""

import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

CORE = {"jax", "jaxlib", "optax", "numpy", "jaxtyping"}
SMOKE = """
import sys
import jax, jax.numpy as jnp, jaxrnn

extras = {"tyro", "tqdm", "orbax", "safetensors", "matplotlib", "hypothesis"} & set(sys.modules)
assert not extras, f"`import jaxrnn` imports {extras}"
cell = jaxrnn.LSTM(3, 4)
params, xs = cell.init(jax.random.key(0)), jnp.ones((7, 2, 3))
mask = jaxrnn.mask_from_lengths(jnp.array([7, 0]), 7)
loss = lambda run: jax.jit(jax.grad(lambda p: run(cell, p, xs, mask=mask)[1].sum()))(params)
explicit, implicit = loss(jaxrnn.unroll_bptt), loss(jaxrnn.unroll)
assert jax.tree.all(jax.tree.map(lambda a, b: bool(jnp.allclose(a, b, atol=1e-6)), explicit, implicit))
print(jaxrnn.__file__)
"""
IMPORT = """
import time
import jax, jax.numpy, optax, jaxtyping, numpy
start = time.process_time()
import jaxrnn
for name in jaxrnn.__all__:
    getattr(jaxrnn, name)
print(time.process_time() - start)
"""


def main() -> int:
    (wheel,) = Path("dist").glob("*.whl")
    wheel = wheel.resolve()
    names = zipfile.ZipFile(wheel).namelist()
    assert "jaxrnn/py.typed" in names, "the wheel has no py.typed"
    assert any(name.endswith("licenses/LICENSE") for name in names), "the wheel has no LICENSE"
    assert all(name.startswith(("jaxrnn/", "jaxrnn-")) for name in names), "the wheel holds more than jaxrnn"
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        venv.create(folder / "env", with_pip=True)
        try_core(folder, wheel)
        try_command(folder, wheel)
    print("the wheel works")
    return 0


def try_core(folder: Path, wheel: Path) -> None:
    """Try `pip install jaxrnn`: the import works, and the command names the extra that it needs."""
    run(folder, "python", "-m", "pip", "install", "--quiet", str(wheel))
    asked = run(
        folder, "python", "-c", "from importlib.metadata import requires; print(*requires('jaxrnn'), sep='\\n')"
    )
    needed = {
        line.split(">")[0].split("<")[0].split("=")[0].strip() for line in asked.splitlines() if "extra" not in line
    }
    assert needed == CORE, f"the core needs {sorted(needed)}"
    where = run(folder, "python", "-c", SMOKE)
    assert str(folder) in where, f"the smoke test imported {where}"
    seconds = min(float(run(folder, "python", "-c", IMPORT)) for _ in range(5))
    print(f"jaxrnn and all of its public names, beyond what jax and optax take: {seconds:.2f} s")
    assert seconds < 0.3, "the import takes too long"
    assert run(folder, "jaxrnn", "--version").strip(), "no version"
    for arguments in (["train"], ["gradients"], ["sample", "--help"]):
        advice = run(folder, "jaxrnn", *arguments, code=2)
        assert advice.count("\n") == 1 and "pip install 'jaxrnn[cli]'" in advice, f"{arguments}: {advice}"


def try_command(folder: Path, wheel: Path) -> None:
    """Try `pip install 'jaxrnn[cli]'`: a model is trained, saved and evaluated."""
    run(folder, "python", "-m", "pip", "install", "--quiet", f"{wheel}[cli]")
    run(folder, "jaxrnn", "train", "--steps", "4", "--hidden", "8", "--run", "first")
    print(run(folder, "jaxrnn", "evaluate", "--run", "first"))


def run(folder: Path, program: str, *arguments: str, code: int = 0) -> str:
    """Run a program of the environment in `folder`, and return all it printed."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    where = folder / "env" / ("Scripts" if os.name == "nt" else "bin") / program
    done = subprocess.run(
        [where, *arguments], cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert done.returncode == code, f"{program} {' '.join(arguments)}: exit code {done.returncode}\n{done.stdout}"
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
