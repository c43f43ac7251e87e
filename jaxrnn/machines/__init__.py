"""Programs for machines other than the one on which they are written.

    meshes        arrays sharded over the devices of a mesh, by axes of type Explicit or inside `jax.shard_map`
    sizes         comparisons of sizes that are symbolic in an exported program
    plain_trees   names of the library's records in serialized programs, and programs over dicts that need no jaxrnn

A run over a mesh needs nothing from this folder: `unroll` and its family take sharded arrays.  To export a program for
a process that has only JAX, start with `plain_function`.

References: the pages of JAX on explicit sharding, `jax.shard_map` and `jax.export`.
"""

from jaxrnn.machines.plain_trees import plain, plain_function, restored

__all__ = ["plain", "plain_function", "restored"]
