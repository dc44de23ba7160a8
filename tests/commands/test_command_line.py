"""A command ends with an honest status and one line for an error, never with a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.paths import ROOT


def write_command(folder: Path, body: str) -> list[str]:
    """Writes a command with the flags --size and --name whose main is `body`; returns how it is started."""
    program = '''"""tool: does a thing."""
import os, signal, sys, time
from absl import flags, logging
from voc_tfdata.commands.command_line import check_no_arguments, run_command
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever started the tests may ignore it
_SIZE = flags.DEFINE_integer("size", 3, "How large.", lower_bound=1)
_NAME = flags.DEFINE_string("name", None, "Whose.")

def main(argv):
''' + textwrap.indent(textwrap.dedent(body), "    ")
    path = folder / "tool.py"
    path.write_text(program + "\n\nif __name__ == '__main__':\n    run_command(main)\n", encoding="utf-8")
    return [sys.executable, str(path)]


def run(command: list[str], *flags: str, **env: str) -> tuple[int, str, str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **env}
    done = subprocess.run([*command, *flags], capture_output=True, text=True, env=environment, timeout=180)
    return done.returncode, done.stdout, done.stderr


def test_flags_are_parsed_and_the_status_is_that_of_main(tmp_path: Path) -> None:
    command = write_command(tmp_path, "print(_SIZE.value, _NAME.value, argv)\nreturn _SIZE.value - 3")
    assert run(command) == (0, "3 None []\n", "")
    assert run(command, "--size=7", "--name=x") == (4, "7 x []\n", "")


def test_help_lists_our_flags_with_defaults_and_exits_0(tmp_path: Path) -> None:
    command = write_command(tmp_path, "raise AssertionError")
    for flag in ("--help", "-h", "--helpshort", "--helpfull"):
        status, out, err = run(command, flag)
        assert (status, err) == (0, "")
        assert out.startswith("tool: does a thing.") and "--size: How large." in out and "default: '3'" in out
        assert "--pdb" not in out and "alsologtostderr" not in out


@pytest.mark.parametrize("flag", ["--siez=3", "--size=0", "--size=a", "--flagfile=nowhere.flags"])
def test_a_wrong_flag_is_status_2_with_its_name(tmp_path: Path, flag: str) -> None:
    status, out, err = run(write_command(tmp_path, "return 0"), flag)
    assert (status, out) == (2, "")
    assert err.startswith("error: ") and flag.strip("-").split("=")[0][:4] in err and "--help" in err
    assert "Traceback" not in err


def test_an_argument_that_is_no_flag_is_refused(tmp_path: Path) -> None:
    status, _, err = run(write_command(tmp_path, "check_no_arguments(argv)"), "VOC2012")
    assert (status, err) == (1, "error: unexpected argument 'VOC2012': this command takes flags only, --name=value\n")


@pytest.mark.parametrize(
    "raised, message",
    [
        ("ValueError('a.xml: is bad; fix it')", "a.xml: is bad; fix it"),
        ("FileNotFoundError('no records; run: build_tfrecords')", "no records; run: build_tfrecords"),
        ("OSError(28, 'No space left on device', '/x/part-0')", "/x/part-0: No space left on device"),
        ("RuntimeError('two\\nlines')", "two\nlines"),
        ("ImportError('no tensorflow-io; pip install it')", "no tensorflow-io; pip install it"),
        ("RuntimeError()", "RuntimeError"),
    ],
)
def test_an_expected_error_is_its_message_and_status_1(tmp_path: Path, raised: str, message: str) -> None:
    assert run(write_command(tmp_path, f"raise {raised}")) == (1, "", f"error: {message}\n")


def test_an_unexpected_error_shows_where_it_came_from(tmp_path: Path) -> None:
    status, _, err = run(write_command(tmp_path, "return {}['key']"))
    assert status == 1 and "Traceback" in err and err.endswith("error: 'key'\n")


@pytest.mark.parametrize("number, status, line", [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")])
def test_a_signal_is_one_line_and_its_customary_status(tmp_path: Path, number: int, status: int, line: str) -> None:
    body = """
        try:
            print("ready", flush=True)
            time.sleep(30)
        finally:
            print("cleaned up", flush=True)
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = write_command(tmp_path, body)
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True, env=environment) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=180)
    assert (process.returncode, out) == (status, "cleaned up\n")
    assert err.startswith("error: ") and line in err and err.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_cleaning_up_is_not_disturbed_however_long_it_takes(tmp_path: Path, number: int) -> None:
    body = f"""
        import contextlib
        @contextlib.contextmanager
        def stage():
            try:
                yield
            finally:
                time.sleep(1)
                with contextlib.suppress(OSError):
                    raise OSError  # handled meanwhile
                time.sleep(1)
                print("cleaned up", flush=True)
        signal.signal(signal.SIGINT, signal.getsignal(signal.SIGINT))
        with stage():
            os.kill(os.getpid(), {int(number)})
            time.sleep(300)
    """
    status, out, err = run(write_command(tmp_path, body))
    assert (status, out) == (128 + number, "cleaned up\n") and err.count("\n") == 1, err


def test_a_second_ctrl_c_while_cleaning_up_is_no_traceback(tmp_path: Path) -> None:
    body = """
        try:
            print("ready", flush=True)
            time.sleep(30)
        finally:
            print("cleaning", flush=True)
            time.sleep(30)
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(write_command(tmp_path, body), stdout=-1, stderr=-1, text=True, env=environment) as process:
        for word in ("ready", "cleaning"):
            assert process.stdout is not None and process.stdout.readline() == f"{word}\n"
            process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=180)
    assert process.returncode == 130 and "Traceback" not in err


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path) -> None:
    command = write_command(tmp_path, "for k in range(100000): print('line', k)")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True, env=environment) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 128 + signal.SIGPIPE


def test_logs_are_plain_lines_on_stderr(tmp_path: Path) -> None:
    body = "logging.info('%d images', 3)\nprint('table')"
    assert run(write_command(tmp_path, body)) == (0, "table\n", "3 images\n")
    assert run(write_command(tmp_path, body), "--verbosity=-1") == (0, "table\n", "")


def test_a_name_that_the_terminal_cannot_show_ends_nothing(tmp_path: Path) -> None:
    command = write_command(tmp_path, "print('caf\\u00e9', '\\udce9')\nlogging.info('\\u65e5')")
    status, out, err = run(command, PYTHONIOENCODING="ascii")
    assert (status, out, err) == (0, "caf\\xe9 \\udce9\n", "\\u65e5\n")


def test_help_does_not_wait_for_tensorflow(tmp_path: Path) -> None:
    status, out, imported = run(write_command(tmp_path, "import tensorflow"), "--help", PYTHONPROFILEIMPORTTIME="1")
    assert status == 0 and "--size" in out
    assert "absl.flags" in imported and "tensorflow" not in imported


@pytest.mark.parametrize("name, status, line", [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "terminated")])
@pytest.mark.parametrize("where", ["destructor", "callback", "except"])
def test_a_signal_that_comes_where_exceptions_are_dropped_ends_the_command_all_the_same(
    tmp_path: Path, where: str, name: str, status: int, line: str
) -> None:
    body = f"""
        import weakref
        class Thing:
            if {where == "destructor"}:
                def __del__(self):
                    kill()
        def kill(*_):
            os.kill(os.getpid(), signal.{name})
            time.sleep(0.01)
        thing = Thing()
        reference = weakref.ref(thing, kill) if {where == "callback"} else None
        del thing
        try:
            if {where == "except"}:
                kill()
        except:
            pass
        time.sleep(300)  # run() waits less
    """
    status_seen, out, err = run(write_command(tmp_path, body))
    assert (status_seen, out) == (status, "")
    assert err.count(line) == 1 and "ignored" not in err, err
