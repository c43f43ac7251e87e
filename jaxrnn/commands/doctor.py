"""jaxrnn doctor: check that this machine and this JAX compute the library's programs correctly."""

from dataclasses import dataclass

from jaxrnn.commands.runs.command_line import parse

HELP = """Compare small networks, compiled as yours are, with NumPy.

It takes less than a minute.  The exit code is 1 if a number is wrong.

examples:
  jaxrnn doctor"""


@dataclass(frozen=True)
class Examination:
    """The options of `jaxrnn doctor`: none."""


def run(argv: list[str]) -> int:
    """Print each finding on a line of its own."""
    parse(Examination, argv, prog="jaxrnn doctor", description=HELP)
    import jax
    import jaxlib

    from jaxrnn.testing.platforms import check_platform

    print(f"jax {jax.__version__}, jaxlib {jaxlib.__version__}, {jax.default_backend()}")
    report = check_platform()
    for line in report.wrong:
        print(f"wrong: {line}")
    for line in report.warnings:
        print(f"warning: {line}")
    print(f"{report.tried - len(report.wrong)} of {report.tried} programs give NumPy's numbers.")
    return 0 if report.correct else 1
