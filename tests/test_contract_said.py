"""The contract cannot drift: what a box really says, in virtual time and over a real broker, against the schemas."""

import json
import re
import shutil
import signal
from pathlib import Path

import pytest
from bench_box import YAML, Bench
from contract_schemas import ASYNCAPI, NOT_SENT, faults
from real_box import Peer, RealBox, until

from agent import messages, models
from agent.events import Stamp
from agent.kinds import class_of
from agent.lists_mail import ListChanged, ListsStand, LookedUp
from agent.mail import Arrived, Publish, SessionDown, StorageFailed, Surveyed
from agent.media_mail import CameraFile, CameraSaid, CodesRead, FoundCode, FoundDocument, ReadCodes, SurveyedFiles
from drivers.contract import Fix
from simulators.broker import Broker
from simulators.central.server import OPERATOR
from simulators.central.wire import command


def lists_of(bench: Bench) -> None:
    """A list is brought, and a code on it is scanned; another scan has no answer."""
    bench.say(ListsStand({"tickets": 0}, ""))
    bench.wait(1)
    bench.arrive_command("list", {"name": "stolen", "add": ["A-1"]})
    bench.scan("A-1")
    change, question = bench.asked[-2:]
    bench.say(ListChanged(change.ref, 1))
    bench.say(LookedUp(question.ref, ("stolen",), "not brought yet: tickets"))
    bench.command("close", {"alarm": bench.of("alarm.listed")[0]["case"], "note": ""})
    bench.scan("A-2")
    bench.wait(1)


def everything() -> Bench:
    """A box that has recorded every type of event that this version sends."""
    kinds = ("duress", "medical", "fire", "tamper", "battery")
    more = "".join(
        f"  - {{id: {kind}-1, driver: gpio0, pin: {40 + n}, kind: {kind}}}\n" for n, kind in enumerate(kinds)
    )
    cameras = "cameras:\n  - {id: front, source: 'rtsp://10.0.0.20/'}\n"
    more += "  - {id: papers, driver: gpio0, pin: 50, kind: scan, cameras: [front], read: [codes, mrz, plate]}\n"
    seeing = YAML.replace("kind: panic}", "kind: panic, cameras: [front]}")
    seeing = seeing.replace("inputs:\n", "  - {id: sky, type: gpsd}\ninputs:\n")
    more += "  - {id: sat, driver: sky, kind: position}\n"
    patrols = "patrols:\n  - {name: day, input: point, every_min: 1, grace_min: 0}\n"
    patrols += "lists:\n  - {name: tickets, kind: allow}\n  - {name: stolen, kind: watch}\n"
    seeing = seeing.replace("kind: scan}", "kind: scan, lists: [tickets, stolen]}").replace("may: [", "may: [list, ")
    bench = Bench(seeing.replace("outputs:\n", more + cameras + patrols + "outputs:\n"), start=False)
    bench.box.start(bench.stamp, last_end="crash", new_journal="lost", config_hash="c" * 64, config_changed=True)
    bench.act()
    bench.edge("alarm-1", True, initial=True)  # stuck, and at boot
    bench.edge("alarm-1", False)
    for zone in bench.config.inputs:
        if zone.id not in ("desk", "sat"):
            bench.health(zone.id, "good")
            bench.press(zone.id)
    bench.wait(60)
    for _ in range(20):
        bench.press("door", 0.05)  # chatter
    bench.wait(15)
    bench.scan("4006381333931" * 700)
    bench.say(Fix("sat", 31.2304, 121.4737, bench.now_s, 5.0, 84.4, 9, 0.9, 1_795_311_260.0))
    bench.health("alarm-1", "open", "cable cut")
    bench.health("alarm-1", "good")
    bench.wall_us += 3_600_000_000  # the clock is set
    bench.wait(1)
    bench.connect()
    bench.press("alarm-1")
    case = bench.of("alarm.panic")[-1]["case"]
    bench.command("acknowledge", {"alarm": case, "note": "on the way"})
    bench.command("close", {"alarm": case, "note": ""})
    bench.command("resend", {"journal": bench.journal.name, "ranges": [[1, 2]]})
    bench.wait(121)
    bench.press("alarm-1")
    bench.wait(121)
    bench.press("alarm-1")  # confirms
    bench.command("test", {"what": "walk", "for_s": 5})
    bench.wait(6)
    bench.command("test", {"what": "loop"})
    bench.command("capture", {"camera": "front", "after_s": 1})
    bench.press("papers")
    [read] = [wish for wish in bench.wishes[-1:] if isinstance(wish, ReadCodes)]
    passport = FoundDocument("td3", "P", "UTO", "L898902C3", "2012-04-15", ("composite",))
    things = FoundCode("x" * 9_000, "qr"), passport, FoundCode("京A12345", "plate", 0.9)
    now_s = bench.now_s
    told = CameraFile("ab" * 32, "cd" * 32, 1000, "image/jpeg", now_s, now_s, now_s, key_frame=True)
    bench.say(CodesRead("front", read.ref, things, "and a reason", bench.now_s, told))
    bench.say(CameraSaid("front", "frozen", "the same picture for a minute"))
    bench.say(CameraSaid("front", "good", ""))
    bench.filed("front", (b"a picture", bench.now_s, bench.now_s), through_s=0, key_frame=True)
    bench.filed("front", (b"a second", bench.now_s, bench.now_s + 1), through_s=bench.now_s + 20)
    bench.say(SurveyedFiles(bench.journal.name, "disk", tuple(bench.journal.files.values()), more=False))
    lists_of(bench)
    bench.command("output", {"output": "lamp", "state": "on", "for_s": 3})
    for _ in range(20):
        bench.arrive("command", b"{}")  # merged refusals
    bench.wait(15)
    bench.receipt(refused={str(len(bench.events)): "too odd"})
    bench.now_s += 700
    bench.box.tick(Stamp(bench.now_s, bench.wall_us, synced=False))
    bench.act()
    bench.say(Surveyed(bench.journal.name, "disk", ((1, 1, bench.events[1]["prevhash"]),), 1, 1, 0))
    bench.box.stop(bench.stamp, "clean")
    bench.act()
    return bench


def test_every_event_that_a_box_records_is_as_described() -> None:
    bench = everything()
    for event in bench.events:
        assert faults("event", event) == []
    assert {event["type"].removeprefix("callbox.") for event in bench.events} == models.DATA.keys() - NOT_SENT


def test_a_box_whose_disk_failed_still_says_what_is_described() -> None:
    bench = Bench()
    bench.press("alarm-1")
    bench.say(StorageFailed(bench.journal.name, "disk I/O error"))
    bench.connect()
    for event in bench.events:
        assert faults("event", event) == []
    assert bench.of("status.started")[0]["last_end"] == "storage"
    assert faults("state", bench.state) == []


def test_states_and_the_last_word_are_as_described() -> None:
    bench = everything()
    bench.disconnect()
    bench.wait(60)
    bench.connect()
    bench.box.say_goodbye(bench.stamp)
    bench.act()
    states = [
        json.loads(action.payload) for action in bench.did if isinstance(action, Publish) and action.topic == "state"
    ]
    assert [state["online"] for state in states[-2:]] == [True, False]
    for state in states:
        assert faults("state", state) == []


def test_a_batch_is_an_array_of_events_as_they_would_be_alone() -> None:
    bench = Bench()
    bench.connect()
    bench.receipt(batch=50)
    bench.ack()
    bench.disconnect()
    for number in range(10):
        bench.scan(f"ticket {number}")
    bench.wait(60)
    bench.connect()
    bench.receipt(batch=50)
    bench.ack()
    bench.wait(20)
    batches = [action for action in bench.did if isinstance(action, Publish) and action.topic.startswith("batch/")]
    assert batches
    for batch in batches:
        assert faults("batch", json.loads(batch.payload)) == []


def test_what_a_box_understands_is_what_the_schemas_allow() -> None:
    bench = Bench()
    bench.connect()
    bench.press("alarm-1")
    order = bench.order("acknowledge", {"alarm": bench.of("alarm.panic")[0]["case"], "note": ""})
    assert faults("command", order | {"sig": "A" * 86}) == []
    bench.say(Arrived(bench.connects[-1].session, "command", json.dumps(order).encode(), False))
    assert bench.of("audit.command")[-1]["result"] == "refused"  # that signature was none
    for name in messages.WISHES:
        assert faults("command", {**order, "type": f"callbox.command.{name}", "data": {}, "sig": "A" * 86})
    bench.say(SessionDown(bench.connects[-1].session, "over"))


# ---- what a real box and a real central say over a real broker


def channel_of(topic: str) -> str:
    for name, channel in ASYNCAPI["channels"].items():
        address = re.sub(r"{class}", "(alarm|trouble|scan|status|audit)", channel["address"])
        if re.fullmatch(re.sub(r"{\w+}", "[^/]+", address), topic):
            return str(name)
    raise AssertionError(f"{topic} is no topic of the contract")


@pytest.mark.real
def test_what_really_passes_over_a_real_broker_is_as_described(tmp_path: Path) -> None:
    if shutil.which("mosquitto") is None:
        pytest.fail("mosquitto is wanted: `make test` installs it")
    broker = Broker(directory=tmp_path / "broker")
    broker.start()
    with RealBox(tmp_path, broker=broker) as box, Peer(broker.port) as peer:
        box.start_central()
        box.power_on()
        box.armed()
        box.press_until_lit()
        case = box.at_central("alarm.panic", transition="raised")
        box.scan("4006381333931")
        box.at_central("scan.code")
        for verb in ("acknowledge", "close", "test"):
            data = {"what": "loop"} if verb == "test" else {"alarm": case["id"], "note": "on the way"}
            peer.say("command", command(verb, "test/box-1", data, OPERATOR, 60, box.keys["operator"])[1])
        box.at_central("alarm.panic", transition="restored")
        box.at_central("status.test")
        box.wan.cut()
        box.press()
        until(lambda: not peer.state()["online"], "the last will")
        box.wan.restore()
        box.owes_nothing()
        box.signal(signal.SIGTERM)
        until(lambda: box.code == 0, "a clean end")
        box.at_central("status.stopping")
        heard = list(peer.heard)
    seen = set()
    for topic, payload, _ in heard:
        name = channel_of(f"callbox/1/test/box-1/{topic}")
        seen.add(name)
        message = json.loads(payload)
        assert faults(name, message) == []
        if name == "event":
            assert class_of(message["type"].removeprefix("callbox.")) == topic.rpartition("/")[2]
    assert seen >= {"event", "state", "receipt", "command"}
