"""Law 17: XLA's default compilation gives the same numbers as without optimizations, and as NumPy."""

import os
import subprocess
import sys

import pytest

from tests.laws.compiled_by_default import MEMBERS, shapes


def output_of(code: list[str]) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in ("XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR")}
    done = subprocess.run(
        [sys.executable, *code], env=environment | {"JAX_PLATFORMS": "cpu"}, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_compiled_by_default_is_compiled_without_optimizations():
    assert output_of(["-m", "tests.laws.compiled_by_default"]) == ""


@pytest.mark.parametrize("member", range(len(MEMBERS)), ids=list(MEMBERS))
def test_every_member_is_tried_with_each_number_of_rows_and_of_units_up_to_9_and_some_up_to_33(member):
    rows, units = zip(*shapes(member), strict=True)
    assert sorted(rows)[:9] == sorted(units)[:9] == list(range(1, 10))
    assert max(rows) > 9
    assert 17 < max(units) <= 33


@pytest.mark.process
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_member_compiled_by_default_is_unroll_compiled_without_optimizations(dtype):
    assert output_of(["-m", "tests.laws.compiled_by_default", dtype]) == ""


def test_compiled_by_default_is_numpy():
    report = "from jaxrnn.testing import check_platform; r = check_platform(); print(r.wrong, r.tried)"
    assert output_of(["-c", report]) == "() 10\n"
