"""A real box with code lists: brought over a real broker, matched when the broker is gone, and there after a cut."""

from pathlib import Path
from typing import Any

import pytest
from real_box import GREEN, NAME, Peer, RealBox, until

from simulators.central.server import OPERATOR
from simulators.central.wire import command

pytestmark = pytest.mark.real
LISTS = [{"name": "tickets", "kind": "allow"}, {"name": "stolen", "kind": "watch", "hashed": True}]


def listed(box: RealBox, peer: Peer, data: dict[str, Any]) -> dict[str, Any]:
    """A signed `list` command, and the event that it left at central."""
    id, payload = command("list", NAME, data, OPERATOR, 60, box.keys["operator"])
    peer.say("command", payload)
    event: dict[str, Any] = box.at_central("audit.command", command=id)["data"]
    return event


def test_lists_are_brought_matched_offline_and_outlive_a_cut(tmp_path: Path) -> None:
    (tmp_path / "site").write_text("0123456789abcdef")
    with RealBox(tmp_path, lists=LISTS, key_file=str(tmp_path / "site")) as box:
        desk = next(entry for entry in box.config["inputs"] if entry["id"] == "desk")
        desk["lists"] = ["tickets", "stolen"]
        box.config["operators"][0]["may"] = ["list"]
        box.write_config()
        box.broker.start()
        box.start_central()
        box.power_on()
        box.armed()
        box.at_central("status.started")  # the box hears commands
        with Peer(box.broker.port) as peer:
            assert listed(box, peer, {"name": "tickets", "add": ["A-1"]})["codes"] == 1
            assert listed(box, peer, {"name": "stolen", "version": "1", "add": ["X-9"]})["result"] == "done"
            wrong = listed(box, peer, {"name": "stolen", "version": "1", "count": 2})
            assert wrong["reason"] == "data.count: this version has 1 codes, and not 2: bring what is missing"
            assert listed(box, peer, {"name": "stolen", "version": "1", "count": 1})["codes"] == 1
        box.wan.cut()
        box.kill()
        box.power_on()
        box.armed()
        before_s = max((at_s for *_, at_s in box.lamps), default=0.0)
        box.scan("A-1")
        box.lit(GREEN, before_s)  # known, with no way to central
        box.scan("X-9")
        until(lambda: box.status()["open_alarms"] == 1, "the watch list raises an alarm")
        assert box.status()["lists"] == {"tickets": 1, "stolen": 1}
        assert b"X-9" not in b"".join(file.read_bytes() for file in box.state_dir.glob("lists.db*"))
        box.wan.restore()
        assert box.at_central("scan.code", code="A-1")["data"]["lists"] == ["tickets"]
        alarm = box.at_central("alarm.listed", input="desk")["data"]
        assert (alarm["lists"], "code" in alarm) == (["stolen"], False)
