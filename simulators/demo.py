"""`callbox demo`: a box, its simulated hardware, a broker, a bad link and a central, all on this machine."""

import json
import logging
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pyrage
import yaml

from agent.text import t
from simulators.board import Board
from simulators.broker import Broker, BrokerError
from simulators.camera import Camera, Settings
from simulators.central.server import OPERATOR, Central
from simulators.central.wire import load_key, public
from simulators.demo_box import DemoBox
from simulators.demo_script import DemoError, Script, Witness
from simulators.line import LinePanel
from simulators.process import until_stopped
from simulators.wan import Wan

CONFIG = Path(__file__).resolve().parent.parent / "config" / "demo.yaml"
HTTP_PORT = 8080  # the page's, while it is free and nobody asked for another
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ANSWER_S = 10.0


def main(once: bool, http_port: int | None, as_json: bool) -> int:
    """Runs until it is stopped, or with `once` to the end of the script; then stops all it has started.

    Exit code 0: stopped as asked, or nothing was lost; 1: something was lost or did not start, and its files are kept.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, signal.default_int_handler)
    directory = Path(tempfile.mkdtemp(prefix="callbox-demo-"))
    logging.basicConfig(filename=directory / "central.log", format="%(asctime)s %(levelname)s %(message)s")
    code = 1
    try:
        with ExitStack() as stack:
            demo = Demo(stack, directory, http_port)
            stack.callback(_no_more_signals)
            if once:
                code = demo.once(as_json)
            else:
                print(t("demo.page", url=demo.central.url), t("demo.stop"), sep="\n", flush=True)
                until_stopped()
    except KeyboardInterrupt:
        code = 1 if once else 0
    except (DemoError, BrokerError, OSError) as error:
        print(t("demo.failed", found=error), file=sys.stderr)
    if code:
        print(t("demo.kept", directory=directory), file=sys.stderr)
    else:
        shutil.rmtree(directory)
    return code


class Demo:
    """Everything, started, with its files in `directory`; `stack` stops it. Raises BrokerError, DemoError, OSError."""

    def __init__(self, stack: ExitStack, directory: Path, http_port: int | None) -> None:
        keys = {name: directory / f"{name}.pem" for name in ("operator", "central")}
        self.store, self.state_dir = directory / "central.db", directory / "state"
        self.broker = stack.enter_context(Broker(directory=directory))
        wan = stack.enter_context(Wan(0, ("127.0.0.1", self.broker.port)))
        self.board = stack.enter_context(Board(directory / "board"))
        panel = stack.enter_context(LinePanel(directory / "panel"))
        config = _read_config()
        config["state_dir"] = str(self.state_dir)
        config["links"] = [{"url": f"mqtt://127.0.0.1:{wan.port}"}]
        config["central_key"] = public(load_key(keys["central"]))
        identity = pyrage.x25519.Identity.generate()  # central's alone: the box has only the public half
        (directory / "identity").touch(0o600)
        (directory / "identity").write_text(f"# public key: {identity.to_public()}\n{identity}\n")
        config["evidence"] = {"recipients": [str(identity.to_public())]}
        may = ["acknowledge", "close", "resend", "test", "capture"]
        config["operators"] = [{"name": OPERATOR, "key": public(load_key(keys["operator"])), "may": may}]
        camera = Camera(Settings(fps=10))
        stack.callback(camera.close)
        for entry in config["cameras"]:
            entry["source"] = camera.url
        for driver in config["drivers"]:
            if driver["type"] == "line":
                driver["port"] = panel.path
        file = directory / "box.yaml"
        file.write_text(yaml.safe_dump(config, allow_unicode=True, sort_keys=False), encoding="utf-8")
        self.name = f"{config['box']['site']}/{config['box']['id']}"
        self.box = DemoBox(config, file, self.board, panel, wan)

        def central(port: int) -> Central:
            url = f"mqtt://127.0.0.1:{self.broker.port}"
            own = keys["operator"], keys["central"]
            return Central(url, self.store, port, *own, self.box, identity=directory / "identity")

        try:
            self.central = central(HTTP_PORT if http_port is None else http_port)
        except OSError:
            if http_port is not None:
                raise
            self.central = central(0)
        self.central.start()
        stack.callback(self.central.stop)
        stack.callback(self.box.stop)
        self.box.set_power(on=True)

    def once(self, as_json: bool) -> int:
        """Plays the script and prints its report; 0 when nothing was lost, else 1."""
        with Witness(self.broker.port) as witness:
            say = (lambda _line: None) if as_json else (lambda line: print(line, flush=True))
            script = Script(self.box, self.board, witness, self.store, self.state_dir, self._operator, say)
            try:
                script.play()
            except DemoError as error:
                script.report.problems.append(str(error))
        report = script.report
        if as_json:
            print(json.dumps(report.as_dict(), ensure_ascii=False))
        else:
            print(*report.lines(), sep="\n")
        return 1 if report.problems else 0

    def _operator(self, verb: str, alarm: str) -> None:
        """What the page does when its button is pressed."""
        wish: dict[str, Any] = {"box": self.name, "case": alarm, "note": ""}
        try:
            url, headers = f"{self.central.url}api/{verb}", {"content-type": "application/json"}
            urlopen(Request(url, json.dumps(wish).encode(), headers), timeout=ANSWER_S).close()  # noqa: S310
        except HTTPError as error:
            raise DemoError(t("demo.not.accepted", verb=verb, found=error.read().decode(errors="replace"))) from error


def _read_config() -> dict[str, Any]:
    if not CONFIG.exists():
        raise DemoError(t("demo.no_config", path=CONFIG))
    config: dict[str, Any] = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    return config


def _no_more_signals() -> None:
    """The end is not interrupted; everything in it has a deadline."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
