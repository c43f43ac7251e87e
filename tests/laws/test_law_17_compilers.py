"""Law 17: what XLA compiles by default gives the numbers that it gives without optimizations, and NumPy's."""

import os
import subprocess
import sys


def output_of(code: list[str]) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in ("XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR")}
    done = subprocess.run(
        [sys.executable, *code], env=environment | {"JAX_PLATFORMS": "cpu"}, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_compiled_by_default_is_compiled_without_optimizations():
    assert output_of(["-m", "tests.laws.compiled_by_default"]) == ""


def test_compiled_by_default_is_numpy():
    report = "from jaxrnn.testing import check_platform; r = check_platform(); print(r.wrong, r.tried)"
    assert output_of(["-c", report]) == "() 10\n"
