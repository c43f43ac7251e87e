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


def parse(options: type[T], argv: list[str], *, prog: str, description: str, default: T | None = None) -> T:
    """An `options` dataclass from `argv`; `--help` prints its fields and raises SystemExit(0).

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
            print(f"usage: {prog} [OPTIONS]\n\n{_wrapped(description)}{_plain(shown.getvalue())}")
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
    """tyro's help after the description, whose lines it would run together, examples and all."""
    options = re.sub(" +$", "", helptext.split("DESCRIPTION", 1)[1], flags=re.M).rstrip()
    return re.sub(r"\{None\}\|(\w+)", r"\1       ", options)  # as long as before, so that columns stay columns


def _wrapped(description: str) -> str:
    """Each line as wide as the terminal; examples, which are indented, stay whole, to be copied."""
    width = shutil.get_terminal_size().columns
    return "\n".join(line if line.startswith(" ") else textwrap.fill(line, width) for line in description.splitlines())


def _one_line(box: str) -> str:
    """The message of tyro's box: what stands between its title and the next rule, and the option it thinks was meant.

    >>> _one_line("╭─ Invalid ──╮\\n│ Not a number. │\\n│ ──── │\\n│ See --help │")
    'not a number'
    """
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip(" │|") for line in box.splitlines()]
    body = itertools.dropwhile(_is_rule, lines[1:])  # without box characters a rule follows the title
    message = " ".join(itertools.takewhile(lambda line: not _is_rule(line), body)).rstrip(".")
    message = re.sub(r"^Error parsing \w+: (?=--)", "", message)  # raised by the options themselves
    meant = re.search(r"Perhaps you meant:.*?(--[a-z][\w-]+)", " ".join(lines))
    return message[:1].lower() + message[1:] + (f"; did you mean {meant[1]}?" if meant else "")


def _is_rule(line: str) -> bool:
    return not line.strip("─-╭╮╰╯+ ")
