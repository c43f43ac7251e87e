"""The settings of every test: the CPU, float64, cheap compilation, fixed seeds."""

import gc
import os
import types
from itertools import count
from pathlib import Path

import jax
import jaxtyping
import pytest
from hypothesis import Phase, settings
from jaxtyping import config as jaxtyping_config

from tests.quick_compilation import FLAGS


def _start_backend() -> None:
    """Start XLA with the flags above, unless XLA_FLAGS is set; programs that a test starts do not inherit them.

    A JAX whose flags are not known gets JAX's own setting alone.
    """
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_x64", True)
    if "XLA_FLAGS" in os.environ or not FLAGS:
        jax.config.update("jax_disable_most_optimizations", "XLA_FLAGS" not in os.environ)
        jax.devices()
        return
    os.environ["XLA_FLAGS"] = FLAGS
    jax.devices()
    del os.environ["XLA_FLAGS"]


def _check_annotated_functions_only() -> None:
    """Let the import hook wrap only annotated functions; otherwise it wraps every closure each time it is made."""
    jaxtyped = jaxtyping.jaxtyped

    def of_annotated(*, typechecker):
        check = jaxtyped(typechecker=typechecker)
        return lambda fn: fn if isinstance(fn, types.FunctionType) and not fn.__annotations__ else check(fn)

    jaxtyping.jaxtyped = of_annotated


_check_annotated_functions_only()
_start_backend()
settings.register_profile(
    "jaxrnn",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=10,
    phases=set(Phase) - {Phase.explain},  # it traces every line, JAX's too
)
settings.load_profile("jaxrnn")


@pytest.fixture
def without_beartype():
    """Turn beartype off, so that calls reach the library's own checks, as those of a user do."""
    jaxtyping_config.update("jaxtyping_disable", True)
    yield
    jaxtyping_config.update("jaxtyping_disable", False)


_MAPPINGS = Path("/proc/self/maps")  # Linux alone has it, and the limit
_MOST_MAPPINGS = 15_000
"""Memory mappings; a worker stays near 6 GB with this limit.

A compiled program holds 30 (JAX 0.10) to 75 (0.12) as long as it is cached.  Linux allows a process 65,530 by default;
without a free one, LLVM's linker ends in a segmentation fault."""
_finished = count(1)


def pytest_runtest_logfinish() -> None:
    """Drop all compiled programs before they fill the memory."""
    if next(_finished) % 25 == 0 and _MAPPINGS.exists() and _mappings() > _MOST_MAPPINGS:
        jax.clear_caches()
        gc.collect()


def _mappings() -> int:
    return _MAPPINGS.read_bytes().count(b"\n")


def pytest_collection_finish() -> None:
    """Exclude what is imported from garbage collection: the laws take a twelfth less time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


def pytest_sessionfinish() -> None:
    """One look for what nobody closed; pytest takes five, through every program that was made: 7 s at the end."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All laws of one cell side by side, so that one worker compiles that cell's programs once."""

    def cell_first(item: pytest.Item) -> str:
        spec = getattr(item, "callspec", None)
        is_law = spec is not None and item.path.parent.name == "laws"
        return spec.id if is_law else ""

    items.sort(key=cell_first)
