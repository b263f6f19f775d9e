"""One conformance run, the same for every broker: what the table of docs/brokers.md says of each is so, yes and no.

A "no" is tried too: whatever is asked for has had its time, for something that was said after it has come.
"""

import json
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from queue import Queue
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import paho.mqtt.client as mqtt
import pytest
from brokers import REFUSED, Nats, RabbitMQ, mosquitto, rumqttd
from paho.mqtt.enums import CallbackAPIVersion
from real_box import AMBER, DEADLINE_S, GREEN, NAME, RESET, ROOT, Peer, RealBox, until
from test_real_broker import old_broker

from simulators.broker import Broker
from simulators.central import wire
from simulators.central.server import OPERATOR

pytestmark = pytest.mark.real

MAKE = {"mosquitto": mosquitto, "rumqttd": rumqttd, "RabbitMQ": RabbitMQ, "NATS": Nats}
SLOW = ("RabbitMQ", "NATS")
KNOWN_S = 20.0
"""The contract's `sp6`: within so long a dead line is known at central."""
PULSE_S = 0.9
"""A lamp that was lit for less shows "received": in "waiting" it is lit for 1 s."""


def table() -> dict[tuple[str, str], str]:
    """(row, broker without its version): cell. The first table of the page."""
    page = (Path(__file__).parent.parent / "docs/brokers.md").read_text(encoding="utf-8")
    lines = next(part for part in page.split("\n\n") if part.startswith("|")).splitlines()
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    brokers = [name.split()[0] for name in head[1:]]
    return {(row[0], broker): cell for row in rows for broker, cell in zip(brokers, row[1:], strict=True)}


TABLE = table()


def says(box: RealBox, row: str) -> str:
    """What the table says of this box's broker."""
    return TABLE[row, box.directory.name]


def yes(observed: bool) -> str:
    return "yes" if observed else "no"


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[pytest.mark.soak] if name in SLOW else []) for name in MAKE]
)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealBox]:
    """A box, a broker and a central that go through it all; each test leaves them well."""
    directory = tmp_path_factory.mktemp(request.param, numbered=False)
    with RealBox(directory, broker=MAKE[request.param](directory / "broker")) as box:
        box.broker.start()
        box.start_central()
        box.power_on()
        box.armed()
        yield box


@pytest.fixture
def box(running: RealBox) -> RealBox:
    connected(running)
    return running


def connected(box: RealBox) -> None:
    until(lambda: box.status().get("link", {}).get("state") == "up", "the link is up")


def peer(box: RealBox, topics: str = f"{ROOT}/state") -> Peer:
    return Peer(box.broker.port, five=says(box, "MQTT") == "5", topics=[(topics, 1), (f"{ROOT}/last", 1)])


def command(box: RealBox, verb: str, case: str = "") -> str:
    """The operator's wish, as the page sends it; the command's id. Waits for central's link."""
    assert box.central is not None
    body, kind = json.dumps({"box": NAME, "case": case}).encode(), {"content-type": "application/json"}
    request = Request(f"{box.central.url}api/{verb}", body, kind)  # noqa: S310

    def sent() -> str:
        try:
            with urlopen(request, timeout=DEADLINE_S) as answer:  # noqa: S310
                return str(json.load(answer)["id"])
        except HTTPError as refused:
            assert json.load(refused)["error"] == "page.error.no_broker"
            return ""

    return until(sent, "central has a link")


def leave_command(box: RealBox) -> str:
    """A command that the broker has acknowledged; its id."""
    id_, payload = wire.command("test", NAME, {"what": "loop"}, OPERATOR, 600, box.keys["operator"])
    with peer(box) as operator:
        operator.say("command", payload)
    return id_


def done(box: RealBox) -> set[str]:
    """The commands of which central knows that the box did them."""
    return {event["data"]["command"] for event in box.stored("audit") if event["data"].get("result") == "done"}


def greeting(box: RealBox, topics: str) -> list[Any]:
    """The retained states that are told to who subscribes now."""
    with peer(box, topics) as late:
        late.say("last", b"")
        until(lambda: "last" in [topic for topic, _, _ in late.heard], "what was said after them")
        return [json.loads(payload) for _, payload, retained in late.heard if retained]


def offline(session: str) -> dict[str, Any]:
    return {"online": False, "session": session}


def test_a_press_gets_its_receipt_and_the_operator_his_answer(box: RealBox) -> None:
    assert box.status()["link"]["protocol"] == says(box, "MQTT")
    assert says(box, "events, receipts and commands") == "yes"
    at_s = box.press()
    box.lit(AMBER, at_s)

    def pulse() -> bool:
        amber = [(level, when_s) for pin, level, when_s in list(box.lamps) if pin == AMBER and when_s >= at_s]
        return any(on and not off and off_s - on_s < PULSE_S for (on, on_s), (off, off_s) in pairwise(amber))

    until(pulse, "the lamp says received")
    case = box.at_central("alarm.panic", transition="raised")["data"]["case"]
    acknowledged = command(box, "acknowledge", case)
    box.lit(GREEN, at_s)
    closed = command(box, "close", case)
    until(lambda: {acknowledged, closed} <= done(box), "central knows that both were done")


@pytest.mark.soak
def test_what_happens_while_the_broker_is_dead_reaches_central_once(box: RealBox) -> None:
    assert says(box, "what was pressed while the broker was killed comes once") == "yes"
    box.owes_nothing()
    before = len(box.rows())
    box.broker.kill()
    until(lambda: box.status()["link"]["state"] != "up", "the box has noticed")
    for number in range(100):
        box.scan(f"ticket-{number}")
    for _ in range(3):
        box.press()
    until(lambda: box.status()["seq"] >= before + 103, "all of it is on the disk")
    box.broker.start()
    box.owes_nothing()
    events = box.stored()
    assert [event["boxseq"] for event in events] == list(range(1, len(events) + 1))
    assert [event["data"]["code"] for event in events if "code" in event["data"]] == [f"ticket-{n}" for n in range(100)]
    assert [json.dumps(event) for event in events] == [json.dumps(json.loads(body)) for body in box.journal()]
    assert box.oddities() == []
    box.press(RESET)
    box.at_central("audit.closed")


def test_the_will_tells_of_a_box_that_died_and_a_command_waits_for_it(box: RealBox) -> None:
    with peer(box) as watcher:
        session = until(watcher.state, "its state")["session"]
        box.kill()
        until(lambda: watcher.state() == offline(session), "the will")
    told = greeting(box, f"{ROOT}/state")
    assert yes(told == [offline(session)]) == says(box, "the will says that a box has died")
    waiting = leave_command(box)
    box.power_on()
    connected(box.armed())
    after = command(box, "test")
    until(lambda: after in done(box), "a command to the box that is back")
    box.owes_nothing()  # what it did before that one is at central too
    assert yes(waiting in done(box)) == says(box, "a command waits for a box that is away")


def test_who_comes_later_is_told_the_state_at_once(box: RealBox) -> None:
    journal = box.status()["journal"]
    one, all_ = greeting(box, f"{ROOT}/state"), greeting(box, "callbox/1/+/+/state")
    assert all(state["online"] and state["journal"] == journal for state in one + all_)
    assert yes(len(one) == 1) == says(box, "who asks later for the state of a box is told at once")
    assert yes(len(all_) == 1) == says(box, "who asks for the states of all boxes is told at once")


@pytest.mark.soak
@pytest.mark.parametrize(
    ("how", "state", "waits"),
    [
        ("stop", "the state is kept over a stop of the broker", "the command waits over a stop of the broker"),
        ("kill", "the state is kept over a SIGKILL of the broker", "the command waits over a SIGKILL of the broker"),
    ],
    ids=["stop", "SIGKILL"],
)
def test_what_a_broker_that_went_and_came_back_still_knows(box: RealBox, how: str, state: str, waits: str) -> None:
    with peer(box) as watcher:
        session = until(watcher.state, "its state")["session"]
        assert box.stop() == 0
        until(lambda: watcher.state() == offline(session), "the goodbye")
    waiting = leave_command(box)
    getattr(box.broker, how)()
    box.broker.start()
    told = greeting(box, f"{ROOT}/state")
    assert yes(offline(session) in told) == says(box, state)
    box.power_on()
    connected(box.armed())
    after = command(box, "test")
    until(lambda: after in done(box), "a command to the box that is back")
    box.owes_nothing()  # what it did before that one is at central too
    assert yes(waiting in done(box)) == says(box, waits)


@pytest.mark.soak
def test_a_half_open_link_is_known_in_time(box: RealBox) -> None:
    with peer(box) as watcher:
        session = until(watcher.state, "its state")["session"]
        box.wan.half_open()
        at_s = time.monotonic()
        until(lambda: watcher.state() == offline(session), "the will", 3 * KNOWN_S)
        known_s = time.monotonic() - at_s
    box.wan.restore()
    assert yes(known_s <= KNOWN_S) == says(box, "a dead line is known within 20 s in `sp6`")


def answer(box: RealBox, topic: str) -> str:
    """What the broker says to a publish on this topic."""
    said: Queue[str] = Queue()
    version = mqtt.MQTTv5 if says(box, "MQTT") == "5" else mqtt.MQTTv311
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=version, reconnect_on_failure=False)
    client.on_publish = lambda _c, _d, _m, reason, _p: said.put(f"0x{reason.value:02x}" if reason.value else "success")
    client.on_disconnect = lambda *_: said.put("hangs up")
    client.connect("127.0.0.1", box.broker.port)
    client.publish(topic, b"x", 1)  # it goes out as soon as the session stands
    client.loop_start()
    try:
        return said.get(timeout=DEADLINE_S)
    finally:
        client.disconnect()
        client.loop_stop()


def test_what_the_broker_answers_where_nobody_listens_and_where_it_refuses(box: RealBox) -> None:
    assert answer(box, "callbox/1/nobody/listens") == says(box, "its answer where nobody listens")
    assert answer(box, REFUSED) == says(box, "its answer on a topic that it refuses")


@pytest.mark.soak
def test_a_puback_counts_as_delivered_where_the_config_says_so(box: RealBox) -> None:
    box.stop_central()
    restart(box, "puback")
    with peer(box, f"{ROOT}/#"):  # somebody listens
        box.lit(AMBER, box.press())
        connected(box)
        until(lambda: not box.status()["pending"]["alarm"] or box.status()["trouble"], "delivered, or a trouble")
        delivered = not box.status()["pending"]["alarm"]
        assert delivered or "demands MQTT 5" in box.status()["trouble"]["link"]
    assert yes(delivered) == says(box, "`delivery: puback`")
    restart(box, "receipt")
    box.start_central()


def restart(box: RealBox, delivery: str) -> None:
    assert box.stop() == 0
    box.config["delivery"] = delivery
    box.write_config()
    box.power_on()
    box.armed()


def test_central_speaks_3_1_1_where_there_is_no_5(tmp_path: Path) -> None:
    with old_broker(tmp_path) as port, RealBox(tmp_path, broker=Broker(port, tmp_path / "not started")) as box:
        box.start_central()
        box.power_on()
        box.armed()
        box.press()
        assert box.at_central("alarm.panic")["data"]["count"] == 1
        box.owes_nothing()
        asked = command(box, "test")
        until(lambda: asked in done(box), "central knows that the command was done")


def test_each_row_of_the_table_is_tried_here() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    assert {row for row, _ in TABLE if f'"{row}"' not in source} == set()
