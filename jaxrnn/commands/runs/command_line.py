"""Options from the command line: tyro, with its errors as one line."""

import contextlib
import io
import itertools
import math
import re
import shutil
import textwrap
from typing import TypeVar

import tyro

from jaxrnn.tasks.data import InputError

T = TypeVar("T")
_PLAINLY = (
    (r"^Error parsing \w+: (?=--)", ""),  # raised by the options themselves
    (r"^Error parsing (--\S+): invalid literal for int\(\) .*: ('.*')$", r"\1 must be an integer, got \2"),
    (r"^Error parsing (--\S+): could not convert string to float: ('.*')$", r"\1 must be a number, got \2"),
    (r"^Error parsing (--\S+): no type matching \{None\}\|INT .* from \[(.*)\]$", r"\1 must be an integer, got \2"),
    (r"^Error parsing (--\S+): no type matching \{None\}\|FLOAT .* from \[(.*)\]$", r"\1 must be a number, got \2"),
    (r"^invalid choice (.*) for argument '(--\S+)'\. Expected one of \((.*)\)$", r"\2 must be one of \3, got \1"),
    (r"^Missing value for argument '(--\S+)'\. Expected 1 values$", r"\1 needs a value"),
    (r"^Missing from .*?: (\S+) .*\(required\)$", r"\1 is required"),
)
"""Messages of tyro, and their wording here."""


def parse(
    options: type[T],
    argv: list[str],
    *,
    prog: str,
    description: str,
    default: T | None = None,
    words: str = "[OPTIONS]",
) -> T:
    """Parse `argv` into an `options` dataclass; `--help` prints its fields and raises SystemExit(0).

    Args:
      options: the dataclass.
      argv: the words behind the command.
      prog: the command.
      description: what its help says above the options.
      default: the options that hold where none are given; None are the fields' own.
      words: what the usage shows behind the command.

    Raises:
      InputError: an unknown option, a missing or impossible value.
    """
    for word in argv:
        if word.startswith("--tyro-"):  # shell completion, whose own checks are assertions
            raise InputError(f"unrecognized options: {word} (`{prog} --help` lists them).")
    said, shown = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(shown):
            return tyro.cli(
                options,
                args=argv,
                prog=prog,
                description="DESCRIPTION",
                default=default,
                config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
            )
    except SystemExit as stop:
        if not stop.code:  # --help
            print(f"usage: {prog} {words}\n\n{_wrapped(description)}{_plain(shown.getvalue())}")
            raise
    raise InputError(f"{_one_line(said.getvalue())} (`{prog} --help` lists the options).")


def check_seed(seed: int) -> None:
    """Raise InputError unless 0 ≤ seed < 2³¹."""
    if not 0 <= seed < 2**31:
        raise InputError(f"--seed must be an integer from 0 to {2**31 - 1}, got {seed}.")


def check_real(*, above_zero: bool = True, **options: float) -> None:
    """Raise InputError unless each is finite and above 0 (or not below it)."""
    for name, value in options.items():
        if not math.isfinite(value) or value < 0 or (above_zero and value == 0):
            expected = "above 0" if above_zero else "of at least 0"
            raise InputError(f"--{name.replace('_', '-')} must be a finite number {expected}, got {value}.")


def _plain(helptext: str) -> str:
    """Return tyro's help without the description, whose lines tyro would join, examples included."""
    lines = _without_examples(helptext.split("DESCRIPTION", 1)[1].splitlines())
    return "\n".join(_without_none(line).rstrip() for line in lines).rstrip()


def _without_examples(lines: list[str]) -> list[str]:
    """Return the lines without the doctests of the options' docstrings, which are for readers of the source.

    >>> _without_examples(["  Learn.", "", "  >>> Text().units()", "  2048", "  ------", "  --file"])
    ['  Learn.', '  ------', '  --file']
    """
    kept: list[str] = []
    inside = False
    for line in lines:
        if line.lstrip(" │").startswith(">>> "):
            inside = True
            while kept and not kept[-1].strip(" │"):
                kept.pop()
        inside = inside and not _is_rule(line.replace("│", "").strip() or "x")
        kept += [] if inside else [line]
    return kept


def _without_none(line: str) -> str:
    """Remove the None of an optional value from a line of tyro's help, and keep its columns aligned.

    >>> _without_none("  --run {None}|STR, -r {None}|STR   The folder.")
    '  --run STR, -r STR                 The folder.'
    """
    short = re.sub(r"\{None\}\|(\w+)", r"\1", line)
    return re.sub(r"(?<=\S)(?=  |$)", " " * (len(line) - len(short)), short, count=1)


def _wrapped(description: str) -> str:
    """Wrap each line to the width of the terminal, except indented lines: examples, which readers copy."""
    width = shutil.get_terminal_size().columns
    return "\n".join(line if line.startswith(" ") else textwrap.fill(line, width) for line in description.splitlines())


def _one_line(box: str) -> str:
    r"""Return the message in a box of tyro's: the lines between its title and the next rule, and the suggested option.

    >>> _one_line("╭─ Invalid ──╮\n│ Not a number. │\n│ ──── │\n│ See --help │")
    'not a number'
    """
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip(" │|") for line in box.splitlines()]
    body = itertools.dropwhile(_is_rule, lines[1:])  # without box characters a rule follows the title
    message = " ".join(itertools.takewhile(lambda line: not _is_rule(line), body)).rstrip(".")
    for said, plainly in _PLAINLY:
        message = re.sub(said, plainly, message)
    meant = re.search(r"Perhaps you meant:.*?(--[a-z][\w-]+)", " ".join(lines))
    if message[1:2].islower():
        message = message[0].lower() + message[1:]
    return message + (f"; did you mean {meant[1]}?" if meant else "")


def _is_rule(line: str) -> bool:
    return not line.strip("─-╭╮╰╯+ ")
