"""Ctrl-C and SIGTERM as exceptions that end a command even where other code swallows them.

Python drops an exception that a destructor or a weak reference's callback raises, and a library may hold a bare
`except:`. The command would go on as if nobody had asked it to end. So each of these exceptions is
looked after until the command is over, and raised again where nothing handles it any more. One that is still on its
way, through `finally` and `with`, is left alone: cleaning up is not disturbed.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Any, NoReturn

_LOOK_EVERY_S = 0.1


def raise_on_signals() -> None:
    """From now on Ctrl-C raises KeyboardInterrupt and SIGTERM SystemExit(143); see end_watch.

    A process that was started with Ctrl-C ignored, by nohup for one, goes on ignoring it.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda number, frame: _raise(KeyboardInterrupt()))
    signal.signal(signal.SIGTERM, _stop)
    sys.unraisablehook = _show_unraisable


def end_watch() -> None:
    """To be called when the command is over: nothing is raised again."""
    signal.setitimer(signal.ITIMER_REAL, 0)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    print("error: terminated (SIGTERM)", file=sys.stderr)
    _raise(SystemExit(128 + number))


def _raise(error: BaseException) -> NoReturn:
    """Raises the error, and does so again whenever it is neither handled nor on its way."""

    def look(number: int, frame: FrameType | None) -> None:
        handled = sys.exc_info()[1]  # of the frame that was interrupted
        while handled is not None and handled is not error:
            handled = handled.__context__
        if handled is None:
            raise error

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, _LOOK_EVERY_S, _LOOK_EVERY_S)
    raise error


def _show_unraisable(unraisable: Any) -> None:
    if not isinstance(unraisable.exc_value, (KeyboardInterrupt, SystemExit)):
        sys.__unraisablehook__(unraisable)
