"""The operator page in a real headless Chromium, on a central with a real broker and a box made by hand.

`python tests/test_page.py DIRECTORY` takes the pictures of the README from the real demo: page-en.png, page-zh.png,
and beside them narrow ones and the page at rest.
"""

import base64
import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shutil import which
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import paho.mqtt.client as mqtt
import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fakebox import FakeBox
from paho.mqtt.enums import CallbackAPIVersion
from playwright.sync_api import Browser, Page, expect, sync_playwright

from agent.text import catalogue
from simulators.broker import Broker
from simulators.central import Central
from simulators.central.web import PAGE

CHROMIUM = which("chromium")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
DEADLINE_S = 20.0
LONG_URL = "mqtts://the-second-broker.of-the-district.central-station.jiangyang.example:8883"
XSS = '<img src=x onerror="document.body.dataset.hurt=1"><script>document.body.dataset.hurt=1</script>'

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium (make test does it)"),
]


class WireBox(FakeBox):
    """A fake box at the broker, which does what it is commanded, when the signature is right."""

    def connect(self, port: int, operator_key: str) -> None:
        self.commands: list[dict[str, Any]] = []
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

    def alarm(self, payload: bytes) -> str:
        return self.say("event/alarm", payload)

    def audit(self, kind: str, **data: Any) -> None:
        self.say("event/audit", self.event(f"audit.{kind}", **data))

    def _command(self, payload: bytes) -> None:
        command = json.loads(payload)
        sig = base64.urlsafe_b64decode(command.pop("sig") + "==")
        self._operator.verify(sig, rfc8785.dumps(command))
        self.commands.append(command)
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
        self.central = self._start(0)
        self._stack.callback(lambda: self.central.stop())  # noqa: PLW0108 - whichever central it then is
        self.box = self.add_box(WireBox())

    def _start(self, http_port: int) -> Central:
        url = f"mqtt://127.0.0.1:{self._port}"
        central = Central(url, self._directory / "central.db", http_port, bench=self.bench)
        central.start()
        return central

    def restart(self) -> None:
        """Central goes, and comes back with the same store at the same address."""
        self.central.stop()
        self.central = self._start(int(self.central.url.rsplit(":", 1)[1].strip("/")))

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


@pytest.fixture
def page(browser: Browser, desk: Desk) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
    page = context.new_page()
    page.set_default_timeout(DEADLINE_S * 1000)
    expect.set_options(timeout=DEADLINE_S * 1000)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "console", lambda said: wrong.append(said.text) if said.type == "error" and "409" not in said.text else None
    )
    page.goto(desk.central.url)
    expect(page.locator("body[data-link=live]")).to_be_attached()
    expect(page.get_by_test_id("box")).to_have_attribute("data-link", "online")
    yield page
    context.close()
    assert wrong == []


def card(page: Page, case: str) -> Any:
    return page.locator(f'[data-testid=case][data-case="{case}"]')


def rings(page: Page) -> int:
    return int(page.evaluate("document.body.dataset.rings"))


def test_an_alarm_appears_by_itself_and_rings(page: Page, desk: Desk) -> None:
    expect(page.locator("#calm")).to_be_visible()
    case = desk.box.alarm(desk.box.press())
    expect(card(page, case)).to_have_attribute("data-state", "open")
    expect(card(page, case)).to_contain_text("Panic button")
    expect(card(page, case)).to_contain_text("Baita Road kiosk")
    expect(page.locator("#tally")).to_contain_text("1 not acknowledged")
    expect(page.locator("#says")).to_contain_text("New alarm: Panic button")
    expect(page.locator("#calm")).to_be_hidden()
    expect(page.locator("body")).to_have_attribute("data-rings", re.compile("[1-9]"))


def test_an_alarm_is_acknowledged_and_closed_by_keyboard_alone(page: Page, desk: Desk) -> None:
    case = desk.box.alarm(desk.box.press())
    expect(card(page, case)).to_be_visible()
    page.keyboard.press("j")
    expect(card(page, case)).to_be_focused()
    page.keyboard.press("a")
    expect(page.locator("#note")).to_be_focused()
    page.keyboard.type("patrol 3 goes, ac jk")
    page.keyboard.press("Enter")
    expect(card(page, case)).to_have_attribute("data-state", "acknowledged")
    expect(card(page, case).get_by_test_id("note")).to_have_text("patrol 3 goes, ac jk")
    expect(card(page, case)).to_contain_text("by duty-desk")
    expect(page.locator("#note-dialog")).to_be_hidden()
    page.keyboard.press("c")
    expect(page.locator("#note")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#note-dialog")).to_be_hidden()
    assert [command["type"] for command in desk.box.commands] == ["callbox.command.acknowledge"]
    page.keyboard.press("c")
    expect(page.locator("#note")).to_be_focused()
    page.keyboard.press("Enter")
    expect(card(page, case)).to_have_count(0)
    closed = page.locator(f'[data-testid=closed-case][data-case="{case}"]')
    closed.locator("summary").click()
    expect(closed.get_by_test_id("timeline")).to_contain_text("patrol 3 goes")
    expect(closed.get_by_test_id("timeline").locator("li")).to_have_count(6)


def test_a_further_press_makes_an_acknowledged_alarm_loud_again(page: Page, desk: Desk) -> None:
    case = desk.box.alarm(desk.box.press())
    desk.box.audit("acknowledged", case=case, by="/operators/duty-desk", note="")
    expect(card(page, case)).to_have_attribute("data-state", "acknowledged")
    before = rings(page)
    desk.box.alarm(desk.box.press(case=case, count=2))
    expect(card(page, case)).to_have_attribute("data-state", "open")
    expect(card(page, case)).to_contain_text("×2")
    assert rings(page) > before


def test_the_newest_alarm_that_nobody_has_seen_is_on_top(page: Page, desk: Desk) -> None:
    first = desk.box.alarm(desk.box.press())
    expect(card(page, first)).to_be_visible()
    second = desk.box.alarm(desk.box.event("alarm.fire", transition="raised", cid=110, count=1, input="hall"))
    expect(card(page, second)).to_be_visible()
    desk.box.audit("acknowledged", case=second, by="/operators/duty-desk", note="")
    expect(card(page, second)).to_have_attribute("data-state", "acknowledged")
    assert [c.get_attribute("data-case") for c in page.get_by_test_id("case").all()] == [first, second]


def test_what_comes_from_outside_is_text(page: Page, desk: Desk) -> None:
    evil = desk.add_box(WireBox(name="jiangyang/evil", journal="evil"))
    evil.say("state", evil.state("s2", name=XSS, trouble=[XSS], inputs={XSS: {"value": XSS, "quality": XSS}}))
    case = evil.alarm(evil.event("alarm.listed", transition="raised", cid=140, count=1, input=XSS, code=XSS))
    evil.say("event/scan", evil.event("scan.code", code=XSS))
    expect(card(page, case)).to_contain_text(XSS)
    page.keyboard.press("j")
    page.keyboard.press("a")
    page.locator("#note").fill(XSS)
    page.keyboard.press("Enter")
    expect(card(page, case).get_by_test_id("note")).to_have_text(XSS)
    expect(page.locator("#note-dialog")).to_be_hidden()
    page.keyboard.press("h")
    expect(card(page, case).get_by_test_id("timeline")).to_contain_text(XSS)
    page.keyboard.press("l")
    expect(card(page, case).get_by_test_id("note")).to_have_text(XSS)
    assert page.evaluate("document.body.dataset.hurt") is None
    assert page.locator("img").count() == 0


def test_both_languages_and_the_choice_is_remembered(page: Page, desk: Desk) -> None:
    case = desk.box.alarm(desk.box.event("alarm.holdup", transition="raised", cid=122, count=1, input="counter"))
    expect(card(page, case)).to_contain_text("Silent at the place: do not call back")
    page.locator("#language").click()
    expect(card(page, case)).to_contain_text("抢劫报警")
    expect(card(page, case)).to_contain_text("现场静默：请勿回拨")
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    page.reload()
    expect(card(page, case)).to_contain_text("待确认")
    page.keyboard.press("l")
    expect(card(page, case)).to_contain_text("NOT ACKNOWLEDGED")
    assert "page." not in page.inner_text("body")


def test_history_after_an_outage_is_quiet_and_a_late_alarm_rings_once(page: Page, desk: Desk) -> None:
    box = desk.box
    scan, press = box.event("scan.code", ago_s=95, code="A-1"), box.press(ago_s=80)
    box.say("state", box.state("after-the-outage"), retain=True)
    scan_id = box.say("event/scan", scan)
    row = page.locator(f'[data-testid=event][data-id="{scan_id}"]')
    expect(row).to_have_attribute("data-replayed", "true")
    expect(row).to_contain_text("replayed")
    assert rings(page) == 0
    case = box.alarm(press)
    expect(card(page, case)).to_contain_text("Late by 1 min 2")
    expect(page.locator("body")).to_have_attribute("data-rings", "1")
    box.alarm(press)
    after = box.say("event/scan", box.event("scan.code", code="A-2"))
    expect(page.locator(f'[data-testid=event][data-id="{after}"]')).to_be_visible()
    assert rings(page) == 1


def test_the_bell_goes_on_until_a_person_answers_but_not_for_what_came_late(page: Page, desk: Desk) -> None:
    box = desk.box
    page.clock.install()
    page.reload()
    press = box.press(ago_s=80)
    box.say("state", box.state("after-the-outage"), retain=True)
    late = box.alarm(press)
    expect(card(page, late)).to_be_visible()
    page.clock.run_for(10_000)
    assert rings(page) == 1
    live = box.alarm(box.event("alarm.fire", transition="raised", cid=110, count=1, input="hall"))
    expect(card(page, live)).to_be_visible()
    assert rings(page) == 2
    page.clock.run_for(10_000)
    assert rings(page) == 3
    box.audit("acknowledged", case=live, by="/operators/duty-desk", note="")
    expect(card(page, live)).to_have_attribute("data-state", "acknowledged")
    page.clock.run_for(10_000)
    assert rings(page) == 3


def test_what_is_no_more_at_the_box_is_told_in_words(page: Page, desk: Desk) -> None:
    box = desk.box
    pruned: list[dict[str, Any]] = [
        {"cause": "days", "count": 2000},
        {"cause": "disk", "count": 7, "undelivered": 3},
    ]
    told = [box.say("event/audit", box.event("audit.pruned", holes=[[1, 7, "h"]], **data)) for data in pruned]
    old, lost = (page.locator(f'[data-testid=event][data-id="{id_}"] .what') for id_ in told)
    expect(old).to_have_text("2000 events deleted at the box: older than the config keeps them")
    expect(lost).to_contain_text("7 events deleted at the box: the disk was full")
    expect(lost.locator(".mark.warn")).to_have_text("3 of them never reached central and are lost")
    page.locator("#language").click()
    expect(old).to_have_text("报警箱删除了 2000 条事件：超过配置的保存期限")
    expect(lost.locator(".mark.warn")).to_have_text("其中 3 条从未送达中心，已丢失")


def test_each_trouble_says_what_it_is_about(page: Page, desk: Desk) -> None:
    box = desk.box
    box.say("state", box.state(trouble=["clock", f"link {LONG_URL}", "storage", "stuck alarm-1"]), retain=True)
    shown = page.get_by_test_id("box").locator("[data-trouble]")
    expect(shown).to_have_text(["clock", f"link: {LONG_URL}", "storage", "stuck button: alarm-1"])
    raised = box.event("trouble.link", transition="raised", cid=350, link=LONG_URL, reason="refused; start the broker")
    row = page.locator(f'[data-testid=event][data-id="{box.say("event/trouble", raised)}"] .what')
    expect(row).to_have_text(f"Trouble: link{LONG_URL} · refused; start the broker")
    over = box.event("trouble.storage", transition="restored", cid=307)
    row = page.locator(f'[data-testid=event][data-id="{box.say("event/trouble", over)}"] .what')
    expect(row).to_have_text("Trouble over: storage")


def test_a_press_too_quick_for_the_wire_arrives_in_order(page: Page, desk: Desk) -> None:
    said: list[str] = []
    page.on("request", lambda request: said.append(f"sent {request.post_data}"))
    page.on("requestfinished", lambda _: said.append("answered"))
    with page.expect_event("requestfinished", lambda request: '"down":false' in (request.post_data or "")):
        page.locator("[data-testid=press][data-input=alarm-1]").evaluate(
            "button => { button.dispatchEvent(new KeyboardEvent('keydown', {key: ' '}));"
            " button.dispatchEvent(new KeyboardEvent('keyup', {key: ' '})); }"
        )
    down, up = '{"input":"alarm-1","down":true}', '{"input":"alarm-1","down":false}'
    assert said == [f"sent {down}", "answered", f"sent {up}", "answered"]


def test_a_command_that_the_box_leaves_unanswered_is_shown_so(page: Page, desk: Desk) -> None:
    desk.box.obeys = False
    case = desk.box.alarm(desk.box.press())
    card(page, case).locator("[data-action=acknowledge]").click()
    page.locator("#note-send").click()
    said = card(page, case).get_by_test_id("command")
    expect(said).to_have_attribute("data-status", "sent")
    expect(said).to_have_attribute("data-status", "unanswered")
    expect(card(page, case)).to_have_attribute("data-state", "open")
    desk.box.audit(
        "command", command=desk.box.commands[0]["id"], verb="acknowledge", result="refused", reason="expired"
    )
    expect(said).to_contain_text("refused by the box: expired")


def test_an_alarm_that_its_box_does_not_know_can_be_set_aside(page: Page, desk: Desk) -> None:
    desk.box.obeys = False
    case = desk.box.alarm(desk.box.press())
    expect(card(page, case).locator("[data-action=aside]")).to_have_count(0)
    card(page, case).locator("[data-action=close]").click()
    page.locator("#note-send").click()
    expect(card(page, case).get_by_test_id("command")).to_have_attribute("data-status", "sent")
    desk.box.audit(
        "command", command=desk.box.commands[0]["id"], verb="close", result="refused", reason="no such alarm"
    )
    card(page, case).locator("[data-action=aside]").click()
    page.locator("#note-send").click()
    expect(card(page, case)).to_have_count(0)
    expect(page.locator(f'[data-testid=closed-case][data-case="{case}"]')).to_be_visible()


def test_a_box_that_goes_and_a_lost_central_are_shown(page: Page, desk: Desk) -> None:
    desk.box.say("state", b'{"online":false,"session":"c0ffee01"}', retain=True)
    expect(page.get_by_test_id("box")).to_have_attribute("data-link", "offline")
    expect(page.get_by_test_id("box")).to_contain_text("Offline")
    desk.close()
    expect(page.locator("body")).to_have_attribute("data-link", "lost")
    expect(page.locator("#banners")).to_contain_text("No connection to central")
    desk._stack.close()


def test_a_central_that_comes_back_finds_the_page_again(page: Page, desk: Desk) -> None:
    before = desk.box.alarm(desk.box.press())
    expect(card(page, before)).to_be_visible()
    page.evaluate("document.body.dataset.rings = 0")
    desk.restart()
    expect(page.locator("body[data-link=live]")).to_be_attached()
    after = desk.box.alarm(desk.box.event("alarm.fire", transition="raised", cid=110, count=1, input="hall"))
    expect(card(page, after)).to_be_visible()
    expect(card(page, before)).to_be_visible()
    expect(page.locator("#banners p")).to_have_count(0)


def test_a_flood_of_alarms_leaves_the_page_quick(page: Page, desk: Desk) -> None:
    for n in range(300):
        desk.box.alarm(desk.box.event("alarm.panic", transition="raised", cid=120, count=1, input=f"alarm-{n}"))
    expect(page.get_by_test_id("case")).to_have_count(300)
    expect(page.get_by_test_id("case").first).to_contain_text("alarm-299")
    page.keyboard.press("j")
    page.keyboard.press("a")
    page.keyboard.press("Enter")
    expect(page.locator("[data-testid=case][data-state=acknowledged]")).to_have_count(1)


def test_the_simulated_box_is_pressed_by_pointer_and_by_keyboard(page: Page, desk: Desk) -> None:
    button = page.locator("[data-testid=press][data-input=alarm-1]")
    button.hover()
    page.mouse.down()
    expect(button).to_have_attribute("data-down", "true")
    page.mouse.up()
    expect(button).to_have_attribute("data-down", "false")
    button.focus()
    page.keyboard.down(" ")
    expect(button).to_have_attribute("data-down", "true")
    page.keyboard.up(" ")
    expect(button).to_have_attribute("data-down", "false")
    page.locator("#scan-code").fill("TICKET-0042")
    page.keyboard.press("Enter")
    expect(page.locator("#scan-code")).to_have_value("")
    assert desk.bench.scanned == ["TICKET-0042"]
    for name in ("link", "power"):
        switch = page.get_by_test_id(f"switch-{name}")
        switch.click()
        expect(switch).to_have_attribute("aria-checked", "false")
        assert desk.bench.state()[name] is False


def test_the_lamps_show_the_level_of_the_pins(page: Page, desk: Desk) -> None:
    lamp = page.locator("[data-testid=lamp][data-lamp=amber]")
    expect(lamp).to_have_attribute("data-lit", "false")
    desk.bench.light("amber", True)
    expect(lamp).to_have_attribute("data-lit", "true")
    expect(lamp).to_contain_text("steady")
    expect(lamp).to_contain_text("recorded on the disk")


def test_nothing_is_wider_than_a_small_screen(page: Page, desk: Desk) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    case = desk.box.alarm(desk.box.press())
    expect(card(page, case)).to_be_visible()
    desk.box.say("state", desk.box.state(trouble=[f"link {LONG_URL}"]), retain=True)
    expect(page.get_by_test_id("box")).to_contain_text(LONG_URL)
    for _ in range(2):
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.locator("#language").click()


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Host": "evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Content-Type": "text/plain"},
    ],
)
def test_a_foreign_page_cannot_command(desk: Desk, headers: dict[str, str]) -> None:
    body = json.dumps({"box": desk.box.name}).encode()
    request = Request(f"{desk.central.url}api/test", body, {"Content-Type": "application/json", **headers})  # noqa: S310
    with pytest.raises(HTTPError) as refused:
        urlopen(request, timeout=DEADLINE_S)  # noqa: S310
    assert refused.value.code in (403, 409)
    assert desk.box.commands == []


def test_every_text_that_the_page_asks_for_is_there() -> None:
    source = "".join((PAGE / name).read_text() for name in ("page.js", "index.html"))
    asked = set(re.findall(r"""["'`](page\.[a-z_]+(?:\.[a-z_]+)*)["'`]""", source))
    groups = set(re.findall(r"(page\.[a-z_]+(?:\.[a-z]+)*[._])\$\{", source))
    assert len(asked) > 60 and len(groups) > 5
    assert asked - set(catalogue()) == set()
    assert [group for group in groups if not any(key.startswith(group) for key in catalogue())] == []


def test_the_page_may_load_nothing_from_elsewhere(desk: Desk) -> None:
    with urlopen(desk.central.url, timeout=DEADLINE_S) as answer:  # noqa: S310
        policy = answer.headers["content-security-policy"]
        text = answer.read().decode()
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
    assert not re.search(r"https?://(?!www\.w3\.org)", text)


# ---- pictures


def pictures(directory: Path) -> None:
    """Of the real demo in the middle of its work: each language, wide and narrow, and the desk at rest."""
    demo = subprocess.Popen(
        [sys.executable, "-m", "agent.cli", "demo", "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    assert demo.stdout is not None
    url = next(word for line in demo.stdout for word in line.split() if word.startswith("http://"))
    try:
        with chromium() as browser:
            page = shot(browser, url, "en", 1280)
            page.screenshot(path=directory / "page-at-rest.png")
            page.locator("[data-testid=press][data-input=alarm-1]").click()
            act(page, "panic", "close", "A child at play, the mother was there")
            expect(page.get_by_test_id("closed-case")).to_have_count(1)
            page.locator("[data-testid=press][data-input=door]").click()
            act(page, "tamper", "acknowledge", "Patrol 3 is on the way")
            expect(page.locator("[data-testid=case][data-state=acknowledged]")).to_have_count(1)
            page.locator("[data-testid=press][data-input=door]").click()
            page.locator("#scan-code").fill("TICKET-0042")
            page.keyboard.press("Enter")
            page.locator("[data-testid=press][data-input=counter]").click()
            expect(page.locator("[data-testid=case][data-kind=holdup]")).to_have_count(1)
            for count in ("1", "2"):
                page.locator("[data-testid=press][data-input=alarm-1]").click()
                expect(page.locator("[data-kind=panic][data-testid=case]")).to_have_attribute("data-count", count)
            for lang in ("en", "zh"):
                for name, width in ((f"page-{lang}", 1280), (f"page-{lang}-narrow", 390)):
                    page = shot(browser, url, lang, width)
                    page.screenshot(path=directory / f"{name}.png", full_page=width == 390)
    finally:
        demo.send_signal(signal.SIGINT)
        demo.wait()


def act(page: Page, kind: str, action: str, note: str) -> None:
    page.locator(f"[data-testid=case][data-kind={kind}] [data-action={action}]").click()
    page.locator("#note").fill(note)
    page.keyboard.press("Enter")


def shot(browser: Browser, url: str, lang: str, width: int) -> Page:
    """The page, its sound on, in a moment when a lamp is lit (at rest none is)."""
    locale = {"en": "en-GB", "zh": "zh-CN"}[lang]
    page = browser.new_context(viewport={"width": width, "height": 1000}, locale=locale).new_page()
    page.goto(url)
    expect(page.locator("[data-testid=box][data-link=online]")).to_be_visible(timeout=DEADLINE_S * 1000)
    page.locator("h1").click()  # as a person would: from the first click on it may sound
    expect(page.locator("#sound")).to_have_attribute("data-sound", "on")
    if page.get_by_test_id("case").count():
        expect(page.locator("[data-lamp=green]")).to_have_attribute("data-lit", "true", timeout=DEADLINE_S * 1000)
    return page


if __name__ == "__main__":
    pictures(Path(sys.argv[1]))
