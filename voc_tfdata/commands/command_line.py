"""Starts a command: flags, help, quiet TensorFlow, one line for an error, an honest exit status.

from voc_tfdata.commands import quiet_start, run_command

with quiet_start():
    import tensorflow as tf

if __name__ == "__main__":
    run_command(main)
"""

import io
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence

from absl import flags, logging

from voc_tfdata.commands.interrupts import end_watch, raise_on_signals
from voc_tfdata.version import __version__

_HELP = ("--help", "-help", "-h", "--helpshort", "--helpfull")


def run_command(main: Callable[[list[str]], int | None], *, flags_of: Sequence[str] = ()) -> None:
    """Runs `main` with the flags parsed and exits the process with its status.

    Args:
      main: takes what is left of the command line after the flags (without the program's name), returns the
        exit status (None is 0). Its module's docstring is the text on top of --help.
      flags_of: modules whose flags --help lists besides those of main's module.
    """
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal cannot show must not end a finished run
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if "--version" in sys.argv[1:]:
        _exit(_run(lambda _: print(f"voc_tfdata {__version__}"), []))
    if any(arg in _HELP for arg in sys.argv[1:]):
        _exit(_run(lambda _: print(describe_flags(main, flags_of)), []))
    try:
        rest = flags.FLAGS(sys.argv)[1:]
    except (flags.Error, OSError) as err:
        print(f"error: {err}\nflags are listed by: {_program()} --help", file=sys.stderr)
        raise SystemExit(2) from None
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.INFO)
    logging.use_absl_handler()
    handler = logging.get_absl_handler()
    handler.setFormatter(None)
    handler.python_handler.stream = sys.stderr
    raise_on_signals()
    _exit(_run(main, rest))


def describe_flags(main: Callable, flags_of: Sequence[str] = ()) -> str:
    """Returns the help text: the docstring of main's module, then its flags and those of more modules."""
    module = main.__module__ if main.__module__ != "__main__" else sys.argv[0]
    doc = (sys.modules[main.__module__].__doc__ or "").strip()
    texts = [_without_heading(flags.FLAGS.module_help(name)) for name in (module, *flags_of)]
    listed = "\n".join(text for text in texts if text)
    return f"{doc}\n\nflags (also from a file: --flagfile=FILE):\n{listed}" if listed else doc


def _without_heading(text: str) -> str:
    """absl sets the module's name above its flags."""
    return text.lstrip("\n").partition("\n")[2]


def check_no_arguments(rest: Sequence[str]) -> None:
    """Raises ValueError if the command line holds words that are no flags."""
    if rest:
        raise ValueError(f"unexpected argument {rest[0]!r}: this command takes flags only, --name=value")


def _run(main: Callable[[list[str]], int | None], rest: list[str]) -> int:
    try:
        return main(rest) or 0
    except BrokenPipeError:  # the reader of our output (head, less) has enough
        sys.stdout = open(os.devnull, "w")
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        print("error: interrupted (Ctrl-C)", file=sys.stderr)
        return 128 + signal.SIGINT
    except SystemExit as err:
        if isinstance(err.code, str):
            print(err.code, file=sys.stderr)
            return 1
        return err.code or 0
    except Exception as err:  # the top of an entry point: the one place where everything is caught
        expected = isinstance(err, (ValueError, OSError, RuntimeError, ImportError)) or _is_tensorflow_error(err)
        if not expected or logging.get_verbosity() >= logging.DEBUG:
            traceback.print_exc()
        print(f"error: {_one_message(err)}", file=sys.stderr)
        return 1
    finally:
        end_watch()


def _is_tensorflow_error(err: Exception) -> bool:
    return type(err).__module__.startswith("tensorflow.")


def _one_message(err: Exception) -> str:
    if isinstance(err, OSError) and err.strerror and err.filename:
        return f"{err.filename}: {err.strerror}"
    return str(getattr(err, "message", None) or err).strip() or type(err).__name__


def _program() -> str:
    return os.path.basename(sys.argv[0])


def _exit(status: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    if "tensorflow_io" in sys.modules:  # its S3 client aborts at interpreter exit (status 134), after all is done
        os._exit(status)
    raise SystemExit(status)
