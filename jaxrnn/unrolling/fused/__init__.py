"""unrolling.fused."""

from jaxrnn.unrolling.fused.dispatch import unroll_fused

__all__ = ["unroll_fused"]
