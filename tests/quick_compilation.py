"""XLA's flags for programs that run for a millisecond, in the process of the tests and in those that a test starts.

Without them, nearly all of the suite's time would be spent in LLVM.  With these flags the gradient of an LSTM compiles
in 0.07 s instead of 1.0 s (JAX 0.10.2) and in 0.27 s instead of 0.62 s (JAX 0.12.0; CPU time).  They change no jaxpr.
"""

import jax

_QUICK_TO_COMPILE = {
    (0, 10): (
        "--xla_backend_optimization_level=0",
        "--xla_llvm_disable_expensive_passes=true",
        "--xla_cpu_parallel_codegen_split_count=1",
        "--xla_cpu_use_fusion_emitters=false",
    ),
    # the cheaper emitter is left for whole loops that are small and hold no product of a library or on several threads
    (0, 11): (
        "--xla_backend_optimization_level=0",
        "--xla_llvm_disable_expensive_passes=true",
        "--xla_cpu_parallel_codegen_split_count=1",
        "--xla_cpu_multi_thread_eigen=false",
        "--xla_cpu_experimental_ynn_fusion_type=",
        "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=1000000000",
    ),
}
_QUICK_TO_COMPILE[0, 12] = _QUICK_TO_COMPILE[0, 11]

FLAGS = " ".join(_QUICK_TO_COMPILE.get(jax.__version_info__[:2], ()))
"""Empty for a JAX that is not in the table: XLA aborts at a flag that it does not know."""
