"""Ctrl-C and SIGTERM as a wish that is granted between two updates."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def stop_wishes() -> Iterator[list[int]]:
    """The list of the signals that came so far; empty while nobody wants to stop.

    The first one is noted, a second one ends the program where it stands.
    """
    wishes: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # only there may handlers be set
        yield wishes
        return

    def note(signum, frame):
        if wishes:
            raise KeyboardInterrupt
        wishes.append(signum)
        os.write(2, b"\nstopping after this update; once more stops at once, without saving\n")

    before = {signum: signal.signal(signum, note) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield wishes
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
