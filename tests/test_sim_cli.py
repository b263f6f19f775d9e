"""The simulators' command: one subcommand each, and only its own module is loaded."""

import subprocess
import sys

import pytest

from agent.text import t
from simulators.cli import COMMANDS, main


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    assert f"callbox-sim {name}" in capsys.readouterr().out


def test_the_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    help_text = capsys.readouterr().out
    assert all(t(f"sim.help.{name}") in help_text for name in COMMANDS)


def test_an_unknown_command_names_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["boards"])
    assert end.value.code == 2
    message = capsys.readouterr().err
    assert all(name in message for name in COMMANDS)


def test_the_board_does_not_wait_for_a_web_server() -> None:
    code = (
        "import sys; from simulators.cli import main\ntry: main(['board', '--help'])\n"
        "except SystemExit: print([name for name in ('starlette', 'uvicorn', 'paho') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.splitlines()[-1] == "[]"
