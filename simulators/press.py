"""Presses a button of the simulated board."""

import argparse
import json
import socket
import sys
import time
from pathlib import Path

from agent.text import t


def press(path: Path, pin: int, hold_ms: float = 200, level: int = 0) -> None:
    """Drives the pin to `level` for `hold_ms`, then lets go. Raises OSError when no board answers at `path`."""
    with socket.socket(socket.AF_UNIX) as board:
        board.connect(str(path))
        board.sendall(json.dumps({"pin": pin, "level": level}).encode() + b"\n")
        try:
            time.sleep(hold_ms / 1000)
        finally:
            board.sendall(json.dumps({"pin": pin, "level": None}).encode() + b"\n")
            board.shutdown(socket.SHUT_WR)
            while board.recv(4096):  # the board has read both lines when it hangs up
                pass


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Registers `callbox-sim press`."""
    parser = commands.add_parser("press", help=t("sim.help.press"), description=t("sim.press.about"))
    parser.add_argument("--socket", type=Path, required=True, metavar="PATH")
    parser.add_argument("--pin", type=int, required=True, metavar="N", choices=range(54))
    parser.add_argument("--hold-ms", type=float, default=200, metavar="N")
    parser.add_argument("--level", type=int, default=0, choices=(0, 1))
    parser.set_defaults(func=_run)


def _run(args: argparse.Namespace) -> int:
    try:
        press(args.socket, args.pin, args.hold_ms, args.level)
    except OSError as error:
        print(t("sim.press.failed", path=args.socket, found=error), file=sys.stderr)
        return 1
    return 0
