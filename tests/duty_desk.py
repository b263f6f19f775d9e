"""A duty desk: the operator page in a headless Chromium, on a central with a real broker and boxes made by hand."""

import base64
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shutil import which
from typing import Any

import paho.mqtt.client as mqtt
import pyrage
import pytest
import rfc8785
from clips import Stored
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fakebox import FakeBox
from paho.mqtt.enums import CallbackAPIVersion
from playwright.sync_api import Browser, Page, expect, sync_playwright

from simulators.broker import Broker
from simulators.central import Central

CHROMIUM = which("chromium")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium here: apt-get install chromium (make test does it)"
)
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
DEADLINE_S = 20.0


class WireBox(FakeBox):
    """A fake box at the broker, which does what it is commanded, when the signature is right."""

    def connect(self, port: int, operator_key: str) -> None:
        self.commands: list[dict[str, Any]] = []
        self._came = threading.Event()
        self._operator = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(operator_key + "="))
        self._lock = threading.Lock()
        self.obeys = True
        subscribed = threading.Event()
        self.paho = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self.paho.on_subscribe = lambda *_: subscribed.set()
        self.paho.on_message = lambda _client, _data, message: self._command(bytes(message.payload))
        self.paho.connect("127.0.0.1", port)
        self.paho.loop_start()
        self.paho.subscribe(f"{self.root}/command", 1)
        assert subscribed.wait(DEADLINE_S)
        self.say("state", self.state(), retain=True)

    def disconnect(self) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()

    def say(self, part: str, payload: bytes, retain: bool = False) -> str:
        """Publishes; the event's id."""
        self.paho.publish(f"{self.root}/{part}", payload, 1, retain)
        return str(json.loads(payload).get("id"))

    def upload(self, file: Stored, first: int = 0, last: int | None = None) -> None:
        """These pieces of it, or all."""
        for part, data in file.pieces()[first:last]:
            self.paho.publish(f"{self.root}/{part}", data, 1)

    def alarm(self, payload: bytes) -> str:
        return self.say("event/alarm", payload)

    def audit(self, kind: str, **data: Any) -> None:
        self.say("event/audit", self.event(f"audit.{kind}", **data))

    def commanded(self) -> dict[str, Any]:
        """The first command, which may be on its way."""
        assert self._came.wait(DEADLINE_S), "no command came"
        return self.commands[0]

    def _command(self, payload: bytes) -> None:
        command = json.loads(payload)
        sig = base64.urlsafe_b64decode(command.pop("sig") + "==")
        self._operator.verify(sig, rfc8785.dumps(command))
        self.commands.append(command)
        self._came.set()
        if not self.obeys:
            return
        by, verb, data = command["source"], command["type"].rsplit(".", 1)[1], command["data"]
        more: dict[str, Any] = {"case": data["alarm"], "by": by, "note": data["note"]} if "alarm" in data else {}
        self.audit("command", command=command["id"], verb=verb, result="done", **{"by": by} | more)
        if verb == "test":
            self.say("event/status", self.event("status.test", test=True))
        if verb == "acknowledge":
            self.audit("acknowledged", **more)
        if verb == "close":
            self.audit("closed", **more)
            over = self.event("alarm.panic", transition="restored", cid=120, input="alarm-1", case=data["alarm"], by=by)
            self.alarm(over)


class FakeBench:
    """Pins that do what the page says."""

    def __init__(self) -> None:
        lamps = {"amber": False, "green": False, "red": False}
        self._state = {"power": True, "link": True, "outputs": lamps, "inputs": {"alarm-1": False, "door": False}}
        self._watchers: list[Callable[[dict[str, Any]], None]] = []
        self.scanned: list[str] = []
        self.pressed = threading.Event()

    def inputs(self) -> list[dict[str, str]]:
        return [{"id": "alarm-1", "kind": "panic"}, {"id": "door", "kind": "tamper"}, {"id": "desk", "kind": "scan"}]

    def state(self) -> dict[str, Any]:
        return json.loads(json.dumps(self._state))  # type: ignore[no-any-return]

    def watch(self, callback: Callable[[dict[str, Any]], None]) -> None:
        self._watchers.append(callback)

    def _set(self, *path: str, value: bool) -> None:
        place: Any = self._state
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        for watcher in self._watchers:
            watcher(self.state())

    def press(self, input: str, down: bool) -> None:
        self._set("inputs", input, value=down)
        self.pressed.set()

    def light(self, lamp: str, on: bool) -> None:
        self._set("outputs", lamp, value=on)

    def scan(self, code: str) -> None:
        self.scanned.append(code)

    def set_link(self, up: bool) -> None:
        self._set("link", value=up)

    def set_power(self, on: bool) -> None:
        self._set("power", value=on)


class Desk:
    """A broker, a central with a bench, and boxes."""

    def __init__(self, directory: Path) -> None:
        self._stack = ExitStack()
        broker = self._stack.enter_context(Broker())
        self.bench = FakeBench()
        self._directory, self._port = directory, broker.port
        identity = pyrage.x25519.Identity.generate()
        self.recipient, self.identity = str(identity.to_public()), directory / "identity"
        self.identity.write_text(f"{identity}\n")
        self.central = self._start(0)
        self._stack.callback(lambda: self.central.stop())  # noqa: PLW0108 - whichever central it then is
        self.box = self.add_box(WireBox())

    def _start(self, http_port: int, decrypts: bool = True) -> Central:
        url, identity = f"mqtt://127.0.0.1:{self._port}", self.identity if decrypts else None
        central = Central(url, self._directory / "central.db", http_port, bench=self.bench, identity=identity)
        central.start()
        return central

    def restart(self, decrypts: bool = True) -> None:
        """Central goes, and comes back with the same store at the same address."""
        self.central.stop()
        self.central = self._start(int(self.central.url.rsplit(":", 1)[1].strip("/")), decrypts)

    def add_box(self, box: WireBox) -> WireBox:
        box.connect(self._port, self.central.operator_public_key)
        self._stack.callback(box.disconnect)
        return box

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@contextmanager
def watched(browser: Browser, height: int = 900, fails: Sequence[str] = ()) -> Iterator[Page]:
    """An English page, and a failure when it says an error; fails: words of those that are meant."""
    context = browser.new_context(viewport={"width": 1280, "height": height}, locale="en-GB")
    page = context.new_page()
    page.set_default_timeout(DEADLINE_S * 1000)
    expect.set_options(timeout=DEADLINE_S * 1000)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    yield page
    context.close()
    assert [said for said in wrong if not any(word in said for word in fails)] == []
