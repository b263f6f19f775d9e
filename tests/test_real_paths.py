"""The real process, with an independent alarm receiver and a simulated modem, and nobody at central."""

import json
from pathlib import Path
from typing import Any

import pytest
from real_box import RealBox, until
from test_dc09 import KEY, key_file, sia

from agent.reader import Reader
from simulators.modem import Modem

NUMBER = "+8613800000000"


def ways(box: RealBox) -> dict[str, str]:
    """Of the last alarm: what the journal says of each path."""
    reader = Reader(box.state_dir)
    seqs = [seq for seq, _ in reader.events(cls="alarm")]
    found = {path: state for path, state, _, _ in reader.reports(seqs[-1])} if seqs else {}
    reader.close()
    return found


def paths(address: str, key: Path, port: str, when: str) -> list[dict[str, Any]]:
    receiver = {"id": "receiver", "type": "dc09", "address": address, "account": "1234", "key_file": str(key)}
    return [{**receiver, "when": when}, {"id": "sms", "type": "sms", "port": port, "to": [NUMBER], "when": when}]


def test_a_press_reaches_an_alarm_centre_and_a_phone_without_any_central(tmp_path: Path) -> None:
    with sia("tcp", KEY) as (address, events), Modem(tmp_path / "modem") as modem:
        ways_out = paths(address, key_file(tmp_path, KEY), modem.path, "always")
        with RealBox(tmp_path, paths=ways_out, box={"site": "test", "id": "box-1", "lang": "zh"}) as box:
            box.power_on()
            box.armed()
            box.press_until_lit()
            until(lambda: ways(box) == {"receiver": "delivered", "sms": "delivered"}, "ACK and +CMGS")
            assert modem.sent[0][0] == NUMBER
            assert "紧急报警 alarm-1" in modem.sent[0][1]
            taken = [events.get(timeout=10) for _ in range(2)]
            assert {(event.code, event.ri, event.encrypted) for event in taken} == {
                ("RP", "0", True),
                ("PA", "001", True),
            }
            lines = box.callbox("events", "--paths", "--json", "--state-dir", str(box.state_dir)).stdout.splitlines()
            assert [line.partition(b'"event":')[2][:-1] for line in lines] == box.journal(), (
                "its bytes are what they are"
            )
            told = {way["path"]: way["state"] for way in json.loads(lines[1])["paths"]}
            assert told == {"mqtt": "owed", "receiver": "delivered", "sms": "delivered"}
            table = box.callbox("events", "--paths", "--state-dir", str(box.state_dir)).stdout.decode()
            assert "receiver" in table
            states = {path["id"]: path["state"] for path in box.status()["paths"]}
            assert states == {"receiver": "stands", "sms": "stands"}
            box.kill()
            box.power_on()
            box.armed()
            until(lambda: len(box.status().get("paths", [])) == 2, "a status")
            assert box.stop() == 0
            assert box.callbox("fsck", "--state-dir", str(box.state_dir)).returncode == 0
            assert len(modem.sent) == 1, "what was delivered is not sent again"


@pytest.mark.soak
def test_what_central_does_not_store_within_ten_seconds_goes_out_by_the_others_and_what_it_does_by_none(
    tmp_path: Path,
) -> None:
    with sia("tcp", KEY) as (address, _), Modem(tmp_path / "modem") as modem:
        ways_out = paths(address, key_file(tmp_path, KEY), modem.path, "undelivered")
        with RealBox(tmp_path, paths=ways_out) as box:
            box.broker.start()
            box.start_central()
            box.power_on()
            box.armed()
            box.press_until_lit()
            box.owes_nothing()
            assert ways(box) == {"receiver": "unneeded", "sms": "unneeded"}
            box.stop_central()
            box.press()
            until(lambda: ways(box) == {"receiver": "delivered", "sms": "delivered"}, "ACK and +CMGS")
            box.start_central()
            box.owes_nothing()
            assert len(modem.sent) == 1
