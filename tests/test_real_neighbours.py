"""Two real boxes and a real broker, and nobody at central: one answers for the other."""

import json
from pathlib import Path
from typing import Any

import pytest
from real_box import RESET, Peer, RealBox, until

from agent.identity import b64, load_or_make_key

pytestmark = pytest.mark.real
KNOCK = 13


def near(box: RealBox) -> dict[str, Any]:
    """What `callbox status` says of the neighbour."""
    [told] = box.status().get("neighbours") or [{}]
    return dict(told)


def test_a_press_at_one_kiosk_knocks_at_the_next_and_nothing_forged_or_silent_does(tmp_path: Path) -> None:
    knocks: list[int] = []
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    outputs = [{"id": "knock", "driver": "gpio0", "pin": KNOCK, "role": "neighbour"}]
    with RealBox(tmp_path / "1") as one:
        entry = {"box": "box-1", "key": b64(load_or_make_key(one.state_dir).public), "name": "the next one"}
        itself = {"site": "test", "id": "box-2"}
        with RealBox(tmp_path / "2", broker=one.broker, box=itself, neighbours=[entry], outputs=outputs) as two:
            one.broker.start()
            two.board.watch(lambda pin, level, _: knocks.append(level) if pin == KNOCK else None)
            for box in (one, two):
                box.power_on()
            for box in (one, two):
                box.armed()
                until(lambda box=box: box.status().get("link", {}).get("state") == "up", "the link is up")  # type: ignore[misc]
            before = len(two.journal())

            with Peer(one.broker.port) as forger:
                forged = {"id": "x", "type": "callbox.alarm.panic", "source": "/callbox/test/box-1", "data": {}}
                forger.say("event/alarm", json.dumps(forged).encode())
                until(lambda: near(two)["refused"] == 1, "the forged alarm is refused")
                assert knocks == []

                one.press()
                until(lambda: near(two)["alarms"] == ["alarm.panic"], "the neighbour's alarm is shown")
                until(lambda: knocks.count(1) >= 2, "two knocks")
                assert one.panel.send(b"B2:1\r\n") == 6
                until(lambda: "callbox.alarm.holdup" in str(forger.events()), "the silent alarm goes past")
            one.press(RESET)
            until(lambda: near(two)["alarms"] == [], "it is over where it came from")
            until(lambda: knocks[-1] == 0, "silence")
            assert near(two)["refused"] == 1
            assert len(two.journal()) == before, "what is shown for another is no event"
            assert "holdup" not in two.said()
            assert "neighbour box-1: alarm.panic" in two.said()
