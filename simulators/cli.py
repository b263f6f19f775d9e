"""`callbox-sim`: the simulated hardware, camera, link, broker and central, one subcommand each.

A module is imported only for its own subcommand, so that the board does not wait for a web server it never starts.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from agent.text import t

COMMANDS = {
    "board": "simulators.board",
    "press": "simulators.press",
    "line": "simulators.line",
    "surgard": "simulators.surgard",
    "ad2": "simulators.ad2",
    "scanner": "simulators.scanner",
    "gps": "simulators.gps",
    "modbus": "simulators.modbus",
    "modem": "simulators.modem",
    "wan": "simulators.wan",
    "broker": "simulators.broker",
    "camera": "simulators.camera",
    "play": "simulators.play",
    "central": "simulators.central.server",
}
"""Subcommand to the module whose `add_command(commands)` registers it and sets `func` (args to exit code)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one subcommand; exit code 0 stopped as asked, 1 could not do it, 2 wrong arguments."""
    words = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(prog="callbox-sim", description=t("sim.about"))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        if words[:1] == [name]:
            import_module(module).add_command(commands)
        else:
            commands.add_parser(name, help=t(f"sim.help.{name}"), add_help=False)
    args = parser.parse_args(words)
    try:
        return int(args.func(args))
    except KeyboardInterrupt:
        return 0
