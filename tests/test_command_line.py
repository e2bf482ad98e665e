"""Command line: every program ends with the same status for the same reason."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_agent.cli import main
from edge_agent.command_line import number, run_command
from edge_agent.errors import ConfigError, PictureError, in_one_line


def failing(error: BaseException):
    def action() -> int:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConfigError("x"), 78),
        (PictureError("x"), 1),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("x"), 70),
    ],
)
def test_each_reason_has_its_status(error, status):
    assert run_command(failing(error), program="program") == status


def test_an_error_of_several_lines_is_one_line_in_the_log():
    error = ConfigError("config.yaml:\n  line 3    motoin: unknown key\n  line 7    mqtt.port: 'abc' is not a number")

    assert in_one_line(error) == "config.yaml: line 3 motoin: unknown key; line 7 mqtt.port: 'abc' is not a number"


def test_an_error_is_one_line_and_names_the_program(capsys):
    run_command(failing(ConfigError("file.yaml: \x1b[31mwrong")), program="edge-convert")

    error = capsys.readouterr().err
    assert error.startswith("edge-convert: file.yaml: ")
    assert "\x1b" not in error


@pytest.mark.parametrize("text", ["0", "33", "1.5", "nan", "many"])
def test_a_number_outside_its_range_is_wrong_usage(text):
    with pytest.raises(argparse.ArgumentTypeError, match=f"'{text}' is not a whole number, 1 to 32"):
        number(least=1, most=32, kind=int)(text)


@pytest.mark.parametrize(
    "arguments",
    [
        ["alerts", "--count", "0"],
        ["bench", "--frames", "0"],
        ["bench", "--cameras", "33"],
        ["counts", "--csv", "--json"],
    ],
)
def test_wrong_usage_has_its_own_status(arguments, capsys):
    with pytest.raises(SystemExit) as exited:
        main(arguments)

    assert exited.value.code == 2
    assert arguments[1] in capsys.readouterr().err


@pytest.mark.parametrize("prints", ["while True:\n        print('line', flush=True)", "print('line')\n    return 0"])
def test_a_closed_pipe_is_not_a_failure(prints):
    program = (
        "import sys\nfrom edge_agent.command_line import run_command\n"
        f"def action():\n    sys.stdin.read()\n    {prints}\n"
        "sys.exit(run_command(action, program='program'))\n"
    )
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen([sys.executable, "-c", program], env=buffered, **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.close()

        assert (process.wait(timeout=60), process.stderr.read()) == (0, b"")


@pytest.mark.parametrize("prints", ["print('line', flush=True)", "print('line')", "print('line' * 100_000)"])
@pytest.mark.parametrize("before", ["", "with disk_errors_as_config_errors():\n        "])
def test_a_full_disk_below_stdout_is_one_line_and_no_bug(prints, before):
    program = (
        "import sys\nfrom edge_agent.command_line import run_command\n"
        "from training.disk_errors import disk_errors_as_config_errors\n"
        f"def action():\n    {before}{prints}\n    return 0\n"
        "sys.exit(run_command(action, program='program'))\n"
    )

    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", program], stdout=full, stderr=subprocess.PIPE, check=False)

    assert (done.returncode, done.stderr.count(b"\n")) == (74, 1)
    assert done.stderr.startswith(b"program: stdout: ")


PROGRAMS = ["edge_agent.cli", "converter.cli", "training.cli", "fleet.cli"]


@pytest.mark.parametrize("module", PROGRAMS)
@pytest.mark.parametrize(("redirection", "status"), [("> /dev/full", 74), (">&-", 0), ("| true", 0)])
def test_no_program_has_a_traceback_where_its_help_cannot_be_printed(module, redirection, status):
    program = f"import sys; from {module} import main; sys.exit(main())"
    shell = f'set -o pipefail; "$0" -c "$1" --help {redirection}'

    done = subprocess.run(["bash", "-c", shell, sys.executable, program], capture_output=True, check=False)

    assert done.returncode == status
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


def test_a_closed_stdout_is_no_bug():
    program = "import sys; from edge_agent.cli import main; sys.exit(main())"
    shell = '"$0" -c "$1" config --config /dev/null >&-'

    done = subprocess.run(["bash", "-c", shell, sys.executable, program], stderr=subprocess.PIPE, check=False)

    assert (done.returncode, done.stderr) == (0, b"")


def test_numpy_has_no_threads_of_its_own_beside_those_of_the_cameras() -> None:
    script = (
        "import os; from edge_agent.cli import main; main(['config', '--config', '/dev/null']); import cv2, numpy; "
        "print(len(os.listdir('/proc/self/task')))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}

    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)

    assert shown.stdout.splitlines()[-1] == "1"


def test_a_hanging_camera_ends_only_a_process_of_its_own() -> None:
    script = (
        "import sys, threading, time\n"
        "from edge_agent.camera.feed import CAMERA_THREAD\n"
        "from edge_agent.cli import main\n"
        "threading.Thread(target=time.sleep, args=(3600,), name=CAMERA_THREAD + 'door', daemon=True).start()\n"
        "print('returned', main(['config', '--config', '/dev/null']), flush=True)\n"
        "sys.argv = ['edge-agent', 'config', '--config', '/dev/null']\n"
        "main()\n"
        "print('returned again')\n"
    )

    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert "\nreturned 0\n" in shown.stdout
    assert "returned again" not in shown.stdout
