"""Plays a scenario: a box with all that hangs on it, what hands do to it, and what must come of it.

A scenario is a YAML file: `title` in both languages, `box` (a config without what only the stage knows), `wires`
(words of callbox-sim by driver id) and `steps`. A step is one line:

    press: alarm-1                    down for 100 ms
    down: alarm-1, up: alarm-1        until somebody does otherwise
    tell: {wire: bus, line: "fault 1 silent", times: 200}    to a simulator's stdin
    link: cut                         or stall, half-open, restore
    power: cut                        or restore
    command: {verb: acknowledge, event: alarm.panic, data: {...}}    signed by the duty desk; event: the newest is meant
    neighbour: {box: kiosk-018, id: a, type: alarm.panic, transition: raised, forged: true}
    wait_s: 2
    expect: {event: alarm.panic, at: central, count: 1, data: {input: alarm-1}, within_s: 5}    at: box, or central
    expect: {output: lamp, lit: true, within_s: 2}
    stays: {output: lamp, lit: false, for_s: 2}
    never: alarm                      no event whose type begins so has been recorded
    whole: true                       each event of the box is at central once, the chain unbroken and signed
"""

import argparse
import logging
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from agent.text import language, t
from simulators.broker import BrokerError
from simulators.central import wire
from simulators.central.server import OPERATOR
from simulators.central.wire import read_json
from simulators.demo_script import faults
from simulators.stage import Stage

SCENARIOS = Path(__file__).resolve().parent / "scenarios"
HOLD_S = 0.1
LOOK_S = 0.05
WITHIN_S = 10.0
STEPS: dict[str, type | tuple[type, ...]] = {
    "press": str,
    "down": str,
    "up": str,
    "tell": dict,
    "link": str,
    "power": str,
    "command": dict,
    "neighbour": dict,
    "wait_s": (int, float),
    "expect": dict,
    "stays": dict,
    "never": str,
    "whole": bool,
}
"""What a step may be, and the type of what stands behind it."""


class ScenarioError(Exception):
    """A scenario that cannot be played, or did not come out as it says; the text is for its reader."""


@dataclass(frozen=True)
class Scenario:
    """One file, read and checked."""

    title: str
    box: dict[str, Any]
    wires: dict[str, list[str]]
    steps: list[tuple[str, Any]]


def read(path: Path) -> Scenario:
    """Raises ScenarioError that names file and step, OSError."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ScenarioError(t("sim.play.no_yaml", path=path, found=error)) from error
    if not isinstance(found, dict) or not {"title", "box", "steps"} <= found.keys():
        raise ScenarioError(t("sim.play.shape", path=path))
    steps = []
    for number, step in enumerate(found["steps"], start=1):
        if not isinstance(step, dict) or len(step) != 1:
            raise ScenarioError(t("sim.play.step", path=path, number=number, found=step, allowed=", ".join(STEPS)))
        [(verb, what)] = step.items()
        if verb not in STEPS or not isinstance(what, STEPS[verb]):
            raise ScenarioError(t("sim.play.step", path=path, number=number, found=step, allowed=", ".join(STEPS)))
        steps.append((verb, what))
    return Scenario(found["title"][language()], found["box"], found.get("wires", {}), steps)


class Play:
    """One scenario on its stage. `run` raises ScenarioError at the first step that did not come out."""

    def __init__(self, scenario: Scenario, stage: Stage, say: Callable[[str], None]) -> None:
        self._scenario, self._stage, self._say = scenario, stage, say
        self._pause = threading.Event()
        self._neighbours_seq = 0

    def run(self) -> None:
        """From the box's start to the last step."""
        began_s = time.monotonic()
        self._stage.power_on()
        self._until(self._stage.armed, "armed", WITHIN_S * 3)
        for number, (verb, what) in enumerate(self._scenario.steps, start=1):
            shown = yaml.safe_dump(
                {verb: what}, default_flow_style=True, allow_unicode=True, sort_keys=False, width=1000
            ).strip()[1:-1]
            try:
                getattr(self, f"_{verb}")(what)
            except (KeyError, StopIteration, TypeError) as error:
                raise ScenarioError(t("sim.play.wrong", number=number, step=shown, found=repr(error))) from error
            except ScenarioError as error:
                raise ScenarioError(t("sim.play.failed", number=number, step=shown, found=error)) from error
            self._say(f"{time.monotonic() - began_s:8.2f} s  {number:3}  {shown}")

    # ---- hands

    def _press(self, name: str) -> None:
        self._down(name)
        self._wait_s(HOLD_S)
        self._up(name)

    def _down(self, name: str) -> None:
        self._stage.contact(name, True)

    def _up(self, name: str) -> None:
        self._stage.contact(name, False)

    def _tell(self, what: dict[str, Any]) -> None:
        for number in range(what.get("times", 1)):
            self._stage.wires[what["wire"]].tell(what["line"].replace("#", str(number)))

    def _link(self, mode: str) -> None:
        self._stage.wan.command(mode)

    def _power(self, what: str) -> None:
        {"cut": self._stage.cut_power, "restore": self._stage.power_on}[what]()
        if what == "restore":
            self._until(self._stage.armed, "armed", WITHIN_S * 3)

    def _command(self, what: dict[str, Any]) -> None:
        data = dict(what.get("data", {}))
        if "event" in what:
            data["alarm"] = self._events({"event": what["event"], "at": "box"})[-1]["data"]["case"]
        self._stage.command(what["verb"], data)

    def _neighbour(self, what: dict[str, Any]) -> None:
        self._neighbours_seq += 1
        now_s = time.time()
        site, id = self._stage.config["box"]["site"], f"01941f29-7c00-7aaa-8000-{what.get('id', 'a'):0>12}"
        event = {
            "specversion": "1.0",
            "id": id if what["transition"] == "raised" else wire.uuid7(now_s),
            "source": f"/callbox/{site}/{what['box']}",
            "type": f"callbox.{what['type']}",
            "subject": "alarm-1",
            "time": wire.rfc3339(now_s),
            "datacontenttype": "application/json",
            "journal": "9b1deb4d",
            "boxseq": self._neighbours_seq,
            "boot": "5f0c2a9e",
            "timequality": "synced",
            "prevhash": wire.b64(bytes(32)),
            "data": {
                "transition": what["transition"],
                "input": "alarm-1",
                "case": id,
                "cid": 120,
                "count": 1,
                "monotonic_s": 1.0,
                **({"by": f"/operators/{OPERATOR}"} if what["transition"] == "restored" else {}),
            },
        }
        self._stage.neighbour(what["box"], event, forged=what.get("forged", False))

    def _wait_s(self, seconds: float) -> None:
        self._pause.wait(seconds)

    # ---- what must be

    def _expect(self, what: dict[str, Any]) -> None:
        within_s = what.get("within_s", WITHIN_S)
        if "output" in what:
            self._until(lambda: self._stage.is_lit(what["output"]) == what["lit"], what["output"], within_s)
        else:
            wanted = what.get("count")
            self._until(
                lambda: len(self._events(what)) >= (wanted or 1) and (wanted in (None, len(self._events(what)))),
                what["event"],
                within_s,
            )

    def _stays(self, what: dict[str, Any]) -> None:
        until_s = time.monotonic() + what["for_s"]
        while time.monotonic() < until_s:
            if self._stage.is_lit(what["output"]) != what["lit"]:
                raise ScenarioError(t("sim.play.changed", output=what["output"]))
            self._pause.wait(LOOK_S)

    def _never(self, type: str) -> None:
        found = [event["type"] for event in self._stage.recorded() if event["type"].startswith(f"callbox.{type}")]
        if found:
            raise ScenarioError(t("sim.play.found", found=", ".join(found)))

    def _whole(self, _: bool) -> None:
        self._until(lambda: len(self._stage.stored()) >= len(self._stage.recorded()), "central", WITHIN_S * 3)
        if wrong := faults(self._stage.stored(), self._stage.key()):
            raise ScenarioError("; ".join(wrong))

    def _events(self, what: dict[str, Any]) -> list[dict[str, Any]]:
        """Those of a type, with that data."""
        at_box = what.get("at", "central") == "box"
        events = self._stage.recorded() if at_box else [read_json(body) for _, _, body in self._stage.stored()]
        data = what.get("data", {})
        return [
            event
            for event in events
            if event["type"] == f"callbox.{what['event']}" and event["data"].items() >= data.items()
        ]

    def _until(self, happened: Callable[[], bool], what: str, within_s: float) -> None:
        until_s = time.monotonic() + within_s
        while not happened():
            if time.monotonic() > until_s:
                raise ScenarioError(t("sim.play.late", what=what, seconds=within_s))
            self._pause.wait(LOOK_S)


def play(path: Path, say: Callable[[str], None]) -> None:
    """Plays one file. Raises ScenarioError, OSError; what it wrote is kept then, and the text says where."""
    scenario = read(path)
    say(scenario.title)
    directory = Path(tempfile.mkdtemp(prefix="callbox-play-"))
    logging.basicConfig(filename=directory / "central.log", level=logging.INFO, force=True)
    try:
        with ExitStack() as stack:
            Play(scenario, Stage(stack, directory, scenario.box, scenario.wires), say).run()
    except (ScenarioError, BrokerError, OSError) as error:
        raise ScenarioError(f"{error} {t('demo.kept', directory=directory)}") from error
    shutil.rmtree(directory)


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Registers `callbox-sim play`."""
    parser = commands.add_parser("play", help=t("sim.help.play"), description=t("sim.play.about"))
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO", help=t("sim.play.scenario"))
    parser.set_defaults(func=_run)


def _run(args: argparse.Namespace) -> int:
    own = {path.name.partition("-")[0]: path for path in sorted(SCENARIOS.glob("*.yaml"))}
    if not args.scenario:
        for number, path in own.items():
            print(f"{number}  {read(path).title}")
        return 0
    failed = 0
    for name in args.scenario:
        try:
            play(own.get(name) or Path(name), lambda line: print(line, flush=True))
            print(t("sim.play.done"), flush=True)
        except (ScenarioError, OSError) as error:
            failed += 1
            print(error, file=sys.stderr, flush=True)
    return 1 if failed else 0
