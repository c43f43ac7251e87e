"""Ctrl-C and SIGTERM: the program ends at once, or after the current update if there is a run to save.

A handler written in Python runs between two instructions of the main thread, which may spend ten seconds in one
compilation; an exception that it raises there can get lost in a callback of XLA; and an interpreter that is torn down
while XLA's threads are at work crashes.  So a thread of its own reads the signals as they arrive, and the process ends
without tearing the interpreter down.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

_listening = False
_wishes: list[int] | None = None
"""The signals received so far by a run that can be saved; None if there is no such run."""


def listen() -> None:
    """Let Ctrl-C end the process at once, from now on; called in the main thread before anything slow is imported."""
    global _listening
    _listening = True  # before the thread starts, which reads it when a signal arrives
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGINT, _leave_it_to_the_thread)
    threading.Thread(target=_read_signals, args=(reader,), daemon=True).start()


@contextlib.contextmanager
def stop_wishes() -> Iterator[list[int]]:
    """Yield the list of the signals received so far, which is empty at first.

    The first signal is recorded; a second one ends the program at once.
    """
    global _wishes
    wishes: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # only there may handlers be set
        yield wishes
        return
    _wishes = wishes
    handler = _leave_it_to_the_thread if _listening else _receive
    before = {signum: signal.signal(signum, handler) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield wishes
    finally:
        for signum, old in before.items():
            signal.signal(signum, old)
        _wishes = None


def _leave_it_to_the_thread(signum: int, frame: object) -> None:
    """Do nothing: with a handler installed, Python itself writes the signal's number to the pipe."""


def _read_signals(reader: int) -> None:
    while True:
        for signum in os.read(reader, 1):
            _receive(signum)


def _receive(signum: int, frame: object = None) -> None:
    """Record the first signal during a run; otherwise end the process."""
    if _wishes is not None and not _wishes:
        _wishes.append(signum)
        _say("stopping after this update; once more stops at once, without saving\n")
    elif _listening:
        _leave(signum)
    else:
        raise KeyboardInterrupt


def _leave(signum: int) -> None:
    _say("jaxrnn: interrupted.\n")
    os._exit(128 + signum)


def _say(line: str) -> None:
    """Write to stderr past Python's buffers, on a line of its own: a terminal has echoed ^C, or shows a bar."""
    with contextlib.suppress(OSError):
        os.write(2, ("\n" * os.isatty(2) + line).encode())
