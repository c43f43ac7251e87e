"""What every test stands on: the CPU, float64, cheap compilation, fixed seeds."""

import gc
import os
import types

import jax
import jaxtyping
import pytest
from hypothesis import Phase, settings
from jaxtyping import config as jaxtyping_config

_QUICK_TO_COMPILE = (
    # nearly all of the suite's time would be LLVM's, for programs that run for a millisecond: these make a
    # gradient compile in 0.11 s instead of 1.35 s (LSTM, jax 0.10.2, one core).  They change no jaxpr.
    "--xla_backend_optimization_level=0",
    "--xla_llvm_disable_expensive_passes=true",
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_cpu_parallel_codegen_split_count=1",
)


def _start_backend() -> None:
    """Starts XLA with the flags above, unless XLA_FLAGS is set; programs that a test starts do not inherit them."""
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_x64", True)
    known = (0, 10) <= jax.__version_info__ < (0, 11)  # XLA aborts at a flag that it does not know
    if known:
        _reuse_mlir_context()
    if "XLA_FLAGS" in os.environ or not known:
        jax.devices()
        return
    os.environ["XLA_FLAGS"] = " ".join(_QUICK_TO_COMPILE)
    jax.devices()
    del os.environ["XLA_FLAGS"]


def _reuse_mlir_context() -> None:
    """JAX loads all dialects of MLIR anew for every program: 5 ms of the 15 that one of a single operation takes.

    A program that is made while another is being written down has a context of its own, as without this.
    """
    from jax._src.interpreters import mlir

    make, shared = mlir.make_ir_context, mlir.make_ir_context()

    mlir.make_ir_context = lambda: make() if mlir.ir.Context.current else shared


def _check_annotated_functions_only() -> None:
    """The import hook wraps every function, closures each time they are made; those without annotations say nothing."""
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
    """Calls reach the library's own checks, as a user's do."""
    jaxtyping_config.update("jaxtyping_disable", True)
    yield
    jaxtyping_config.update("jaxtyping_disable", False)


def pytest_collection_finish() -> None:
    """What is imported stays, and is looked through no more: the laws take a twelfth less time."""
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
