"""The command line: `python -m jaxrnn`, or `jaxrnn`.

Bad input is one line on stderr and exit code 2.  A traceback is a bug of ours, and looks like one.
"""

import importlib
import os
import sys

from jaxrnn.commands.runs import signals

COMMANDS = {
    "train": "learn a task; a character language model is the default",
    "sample": "continue a prompt with a trained model",
    "translate": "answer a text with a trained model",
    "evaluate": "the held-out metrics of a trained model",
    "export": "a trained model as an ONNX file or StableHLO programs",
    "gradients": "the same gradient by every algorithm, side by side",
    "doctor": "whether this machine and this JAX compute correctly",
}
EXTRAS = dict.fromkeys(("tyro", "tqdm", "orbax", "safetensors", "matplotlib"), "cli") | {"onnx": "onnx"}
"""The extra that each optional package belongs to."""


def program() -> None:
    """Run as a process of its own, which Ctrl-C ends at any moment; `main` runs in the process that calls it.

    The interpreter is never torn down: XLA's threads may still be at work, and would crash in it.
    """
    signals.listen()
    importlib.import_module("jaxrnn.commands.runs.compiled_programs").keep()
    code = main()
    _discard_output()
    os._exit(code)


def main(argv: list[str] | None = None) -> int:
    """Run a command and return the exit code: 0, 2 for bad input, 128 + n for a stop by signal n."""
    argv = sys.argv[1:] if argv is None else argv
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever called, as by `>&-`
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # a terminal without the character shows "?"; and a process that ends at once loses no line
            stream.reconfigure(errors="replace", line_buffering=True)
    try:
        code = _dispatch(argv)
        sys.stdout.flush()  # here, so that a full disk behind `>` is reported as any other
        return code
    except KeyboardInterrupt:
        return _fail("interrupted.", 130)
    except SystemExit as stop:  # --help
        return int(stop.code or 0)
    except BrokenPipeError:  # the reader (head, less) has seen enough
        _discard_output()
        return 141
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        return _fail(f"this command needs {error.name}: pip install 'jaxrnn[{extra}]'", 2)
    except (ValueError, OSError, MemoryError, RuntimeError) as error:
        message = _explain(error)
        if message is None:
            raise
        _discard_output()
        return _fail(message, 2)


def _dispatch(argv: list[str]) -> int:
    if argv[:1] == ["help"]:
        argv = [*argv[1:2], "--help"]
    if not argv or argv[0] in ("-h", "--help"):
        print(_usage())
        return 0
    if argv[0] == "--version":
        print(importlib.import_module("jaxrnn").__version__)
        return 0
    if argv[0] not in COMMANDS:
        return _fail(f"{argv[0]!r} is not a command; there are {', '.join(COMMANDS)}.", 2)
    return importlib.import_module(f"jaxrnn.commands.{argv[0]}").run(argv[1:])


def _usage() -> str:
    import shutil
    import textwrap

    from jaxrnn.commands.runs import compiled_programs

    width = min(shutil.get_terminal_size().columns, 88) - 1
    lines = ["usage: jaxrnn COMMAND [OPTIONS]", ""]
    lines += [*textwrap.wrap("Recurrent networks as pure functions for JAX.", width), ""]
    for name, what in COMMANDS.items():
        lines += textwrap.wrap(f"{name:11}{what}", width, initial_indent="  ", subsequent_indent=" " * 13)
    lines += ["", *textwrap.wrap("`jaxrnn COMMAND --help` has the options and examples.", width)]
    kept = str(compiled_programs.folder()).replace(os.path.expanduser("~"), "~", 1)
    kept = f"Compiled programs are kept in {kept}; {compiled_programs.NAME} names another folder."
    lines += ["", *textwrap.wrap(kept, width)]
    return "\n".join(lines)


def _explain(error: Exception) -> str | None:
    """Return what the user can do about an error, or None if it is not the user's doing."""
    from jaxrnn.convert.layout import ConversionError
    from jaxrnn.tasks.data import InputError
    from jaxrnn.training.saving.checkpoint import CheckpointError

    if isinstance(error, (InputError, CheckpointError, ConversionError)):
        return str(error)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{where}{error.strerror or error}."
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        return "out of memory; take smaller sizes (--hidden, --batch, --length)."
    return None


def _discard_output() -> None:
    """Discard unwritten output, so that the interpreter does not try to write it again on exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, code: int) -> int:
    print("jaxrnn:", " ".join(message.split()), file=sys.stderr)
    return code


if __name__ == "__main__":
    program()
