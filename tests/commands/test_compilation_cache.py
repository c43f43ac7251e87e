"""JAX's persistent compilation cache holds this library's programs: a second start compiles nothing."""

import os
import subprocess
import sys
from collections import Counter

import jax
import jax.numpy as jnp
import pytest
from jax.experimental.compilation_cache import compilation_cache

from jaxrnn import GRU, unroll_bptt


@pytest.fixture
def cache(tmp_path):
    """Use an empty cache; yield its folder and the counts of its hits and misses."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    found: Counter = Counter()

    def listen(event: str, **_) -> None:
        if event.startswith("/jax/compilation_cache/cache_"):
            found[event.rsplit("_", 1)[-1]] += 1

    for name, value in zip(names, (str(tmp_path), 0.0), strict=True):
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    jax.monitoring.register_event_listener(listen)
    yield tmp_path, found
    jax.monitoring.unregister_event_listener(listen)
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def test_a_program_is_compiled_once_and_then_read(cache):
    folder, found = cache
    cell = GRU(3, 5)
    params, xs = cell.init(jax.random.key(0)), jnp.ones((4, 2, 3))

    def start():
        """Compile a new function, whose program is not in memory."""
        program = jax.jit(jax.grad(lambda params, xs: jnp.sum(unroll_bptt(cell, params, xs)[1])))
        found.clear()
        program.lower(params, xs).compile()
        return dict(found)

    assert start() == {"misses": 1}
    assert list(folder.iterdir())
    assert start() == {"hits": 1}


PROGRAM = """
from jaxrnn.commands.runs.compiled_programs import keep
keep()
import jax, jax.numpy as jnp
def twice(x): return 2 * x
print(jax.jit(twice)(jnp.arange(3)).tolist())
"""


@pytest.mark.process
def test_the_command_line_keeps_programs_and_a_damaged_one_is_replaced_without_a_word(tmp_path):
    known = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    env = known | {
        "XDG_CACHE_HOME": str(tmp_path),
        "JAX_PLATFORMS": "cpu",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }

    def entry():
        done = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, timeout=100)
        assert (done.returncode, done.stdout, done.stderr) == (0, "[0, 2, 4]\n", "")
        (path,) = tmp_path.glob("jaxrnn/compiled-*/jit_twice-*-cache")
        return path

    whole = entry().read_bytes()
    os.truncate(entry(), 20)
    assert len(entry().read_bytes()) == len(whole)
