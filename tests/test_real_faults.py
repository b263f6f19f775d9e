"""What goes wrong around a real box: each fault is said in its place, stops nothing else and loses nothing."""

import json
import random
import re
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from real_box import AMBER, NAME, RED, Peer, RealBox, until

from agent.threads import SIGNALS
from simulators.central import wire
from simulators.central.server import OPERATOR

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealBox]:
    """One box that goes through many faults one after the other; each test leaves it well."""
    with RealBox(tmp_path_factory.mktemp("running")) as box:
        box.broker.start()
        box.start_central()
        box.power_on()
        box.armed().owes_nothing()
        yield box


@pytest.fixture
def box(running: RealBox) -> Iterator[RealBox]:
    before = running.pid
    yield running
    assert running.code is None and running.pid == before, "the box has ended"
    running.owes_nothing()
    assert running.status()["trouble"] == {}


@pytest.fixture
def peer(box: RealBox) -> Iterator[Peer]:
    with Peer(box.broker.port) as peer:
        yield peer


# ---- the wire


def test_garbage_overlong_and_half_lines_are_counted_and_the_next_scan_arrives(box: RealBox) -> None:
    noise = box.status()["noise"]["panel"]
    rng = random.Random(7)
    garbage = bytes(rng.choice([byte for byte in range(256) if byte not in (10, 13)]) for _ in range(300))
    box.panel.send(garbage + b"\r\n\xff\xfe\xfd\r\n")
    box.panel.send(b"S:" + b"y" * 5000 + b"\r\n")
    box.panel.send(b"S:ha")
    until(lambda: box.status()["noise"]["panel"] >= noise + 3, "three lines of noise")
    box.panel.send(b"lf\r\n")
    assert box.at_central("scan.code", code="half")
    box.scan("whole")
    assert box.at_central("scan.code", code="whole")
    codes = [event["data"]["code"] for event in box.stored("scan")]
    assert codes[-2:] == ["half", "whole"] and not any("y" * 100 in code for code in codes)


def test_a_port_that_vanishes_is_a_trouble_of_its_inputs_until_it_returns(box: RealBox) -> None:
    box.panel.unplug()
    for name in ("counter", "desk"):
        box.at_central("trouble.input", transition="raised", input=name)
    assert box.callbox("status", "--state-dir", str(box.state_dir)).returncode == 1
    box.panel.plug()
    for name in ("counter", "desk"):
        box.at_central("trouble.input", transition="restored", input=name)
    box.scan("after the cable")
    box.at_central("scan.code", code="after the cable")


# ---- central's words


def receipt(box: RealBox, key: str | None = "central", **fields: Any) -> bytes:
    body = {"journal": box.status()["journal"], "through": box.status()["seq"], **fields}
    return wire.signed(body, box.keys[key]) if key else rfc8785.dumps(body)


def test_a_receipt_that_cannot_be_right_is_a_line_in_the_log_and_delivers_nothing(box: RealBox, peer: Peer) -> None:
    box.stop_central()
    box.press_until_lit()
    stranger = wire.signed({"journal": box.status()["journal"], "through": 1}, Ed25519PrivateKey.generate())
    bad = {
        b"\x00\xffnot json": "not JSON",
        b'["a list"]': "an object is wanted",
        b'{"pad": "' + b"x" * 200_000 + b'"}': "at most 65536 are read",
        receipt(box, key=None): "the signature is missing",
        stranger: "not central's",
        receipt(box, through=10**6): "names boxseq 1000000",
        receipt(box, also=[[3, 1]]): "1 <= first <= last",
        receipt(box, through="all"): "`through` (a boxseq) are wanted",
    }
    for payload, reason in bad.items():
        lines = box.said().count("receipt refused")
        peer.say("receipt", payload)
        until(lambda lines=lines: box.said().count("receipt refused") == lines + 1, reason)  # type: ignore[misc]
        assert reason in [line for line in box.said().splitlines() if "receipt refused" in line][-1]
    peer.say("receipt", receipt(box, journal="00000000"))  # another box's, or of a journal that was lost
    assert box.status()["pending"]["alarm"] == 1
    box.start_central()
    box.owes_nothing()


def test_a_command_that_may_not_be_done_is_one_audit_event_with_the_reason(box: RealBox, peer: Peer) -> None:
    operator, loop = box.keys["operator"], {"what": "loop"}
    _, good = wire.command("test", NAME, loop, OPERATOR, 60, operator)
    bad = [
        (b"\x00\xffnot json", "not JSON"),
        (b'{"pad": "' + b"x" * 200_000 + b'"}', "at most 65536 are read"),
        (wire.command("test", NAME, loop, OPERATOR, 60, Ed25519PrivateKey.generate())[1], "signature is not this"),
        (wire.command("test", NAME, loop, "stranger", 60, operator)[1], "unknown operator"),
        (wire.command("test", NAME, loop, OPERATOR, -5, operator)[1], "expired"),
        (wire.command("test", "test/box-2", loop, OPERATOR, 60, operator)[1], "for test/box-2, not for this box"),
        (wire.command("capture", NAME, {"camera": "front"}, OPERATOR, 60, operator)[1], "may not capture"),
        (wire.command("close", NAME, {"alarm": "nothing"}, OPERATOR, 60, operator)[1], "no open alarm has this id"),
    ]
    for payload, reason in bad:
        before = len(refusals(box))
        peer.say("command", payload)
        until(lambda before=before: len(refusals(box)) > before, reason)  # type: ignore[misc]
        assert len(refusals(box)) == before + 1 and reason in refusals(box)[-1]["reason"]
    tests = sum(event["type"] == "callbox.status.test" for event in box.stored())
    peer.say("command", good)
    assert box.at_central("audit.command", result="done")["data"]["command"] == json.loads(good)["id"]
    peer.say("command", good)
    until(lambda: "already seen" in refusals(box)[-1]["reason"], "the repeated one is refused")
    assert sum(event["type"] == "callbox.status.test" for event in box.stored()) == tests + 1


def refusals(box: RealBox) -> list[dict[str, Any]]:
    found = [event["data"] for event in box.stored("audit") if event["type"] == "callbox.audit.command"]
    return [data for data in found if data["result"] == "refused"]


def test_a_retained_command_and_a_retained_receipt_are_refused(tmp_path: Path) -> None:
    with RealBox(tmp_path) as box:
        box.broker.start()
        box.start_central()
        with Peer(box.broker.port) as peer:
            _, command = wire.command("test", NAME, {"what": "loop"}, OPERATOR, 600, box.keys["operator"])
            peer.say("command", command, retain=True)
            peer.say("receipt", b'{"journal": "00000000", "through": 1}', retain=True)
        box.power_on()
        box.armed()
        until(lambda: [data for data in refusals(box) if "retained" in data["reason"]], "the command is refused")
        assert "retained" in box.logged("receipt refused")
        assert not [event for event in box.stored() if event["type"] == "callbox.status.test"]
        box.owes_nothing()


# ---- the box's own programs


def test_a_second_daemon_on_the_same_folder_refuses_to_run(box: RealBox) -> None:
    seq = box.status()["seq"]
    second = box.callbox("run", "--config", str(box.file))
    assert second.returncode == 1
    assert f"another callbox runs on {box.state_dir}" in second.stderr.decode()
    assert box.status()["seq"] == seq
    assert box.callbox("verify", "--state-dir", str(box.state_dir)).returncode == 0


def test_events_prints_the_bytes_that_central_got_and_verify_finds_the_chain_whole(box: RealBox) -> None:
    box.scan("票 42 \u0007 ~ 👍")
    box.at_central("scan.code", code="票 42 \u0007 ~ 👍")
    box.owes_nothing()
    assert [row["payload"] for row in box.rows()] == box.journal()
    assert box.callbox("events", "--json", "--pending", "--state-dir", str(box.state_dir)).stdout == b""
    alarms = box.callbox("events", "--json", "--class", "scan", "--state-dir", str(box.state_dir)).stdout
    assert alarms.splitlines() == [row["payload"] for row in box.rows() if row["class"] == "scan"]
    assert box.callbox("verify", "--state-dir", str(box.state_dir)).returncode == 0


def test_a_silent_hold_up_changes_no_lamp_and_writes_no_line(tmp_path: Path) -> None:
    with RealBox(tmp_path) as box:
        box.broker.start()
        box.start_central()
        box.power_on()
        box.armed().at_central("status.started")
        box.panel.send(b"B2:1\r\n")
        alarm = box.at_central("alarm.holdup", transition="raised")
        until(lambda: not box.status()["pending"]["alarm"], "the box knows that it is there")
        log = box.said()
        assert alarm["data"]["cid"] == 122
        assert [change for change in box.lamps if change[1]] == []
        assert "counter" not in log and "holdup" not in log and len(log.splitlines()) == 2, log  # link up, armed
        assert box.status()["open_alarms"] == 0  # also not in what a technician may have on a screen
        assert box.press_until_lit() < 40  # the lamps do work


def test_status_says_by_its_exit_code_whether_the_box_is_well(tmp_path: Path) -> None:
    with RealBox(tmp_path) as box:
        ask = ("status", "--json", "--state-dir", str(box.state_dir))
        assert box.callbox(*ask).returncode == 3
        box.broker.start()
        box.start_central()
        box.power_on()
        box.armed()
        well = box.callbox(*ask)
        assert (well.returncode, json.loads(well.stdout)["armed"]) == (0, True)
        box.panel.unplug()
        until(lambda: box.status()["trouble"], "a trouble")
        troubled = box.callbox(*ask)
        assert (troubled.returncode, list(json.loads(troubled.stdout)["trouble"])) == (
            1,
            ["input counter", "input desk"],
        )
        box.kill()
        assert box.callbox(*ask).returncode == 3


def test_sigterm_ends_with_stopping_delivered_as_the_last_event(tmp_path: Path) -> None:
    with ExitStack() as stack, RealBox(tmp_path) as box:
        box.broker.start()
        peer = stack.enter_context(Peer(box.broker.port))
        box.start_central()
        box.power_on()
        box.armed()
        box.press_until_lit()
        box.at_central("alarm.panic")
        assert box.stop() == 0
        events = [json.loads(body) for body in box.journal()]
        assert events[-1]["type"] == "callbox.status.stopping"
        assert box.at_central("status.stopping")["id"] == events[-1]["id"]
        until(lambda: peer.state().get("online") is False, "the state says that it is gone")
        assert box.board.levels()[AMBER] == 0
        box.power_on()
        assert box.at_central("status.started", last_end="clean")


def test_sighup_reloads_a_good_config_in_the_same_process_and_leaves_a_bad_one(tmp_path: Path) -> None:
    with RealBox(tmp_path) as box:
        box.broker.start()
        box.start_central()
        box.power_on()
        box.armed()
        pid = box.pid
        good = box.config["box"]
        box.config["box"], box.config["delivery"] = {**good, "name": 7, "colour": "red"}, "carrier pigeon"
        box.write_config()
        box.signal(signal.SIGHUP)
        box.logged("not reloaded")
        until(lambda: "carrier pigeon" in box.said() and "colour" in box.said(), "each mistake is in the log")
        box.press_until_lit()
        assert not [event for event in box.stored() if event["type"] == "callbox.audit.config"]
        box.config["box"], box.config["delivery"] = {**good, "name": "Renamed box"}, "receipt"
        box.write_config()
        box.signal(signal.SIGHUP)
        box.at_central("audit.config")
        until(lambda: box.status().get("name") == "Renamed box", "the new name")
        assert box.pid == pid and box.code is None
        until(lambda: box.said().count("INFO armed") == 2, "armed again")
        box.scan("after the reload")
        box.at_central("scan.code", code="after the reload")
        box.owes_nothing()
        assert box.stop() == 0


def test_signals_that_come_while_the_box_starts_itself_anew_are_neither_lost_nor_its_death(tmp_path: Path) -> None:
    with RealBox(tmp_path) as box:
        box.broker.start()
        box.power_on()
        box.armed()
        pid = box.pid
        box.signal(signal.SIGHUP)
        for number in range(1, 5):
            until(lambda number=number: box.said().count("INFO reloading") == number, "it starts itself anew")  # type: ignore[misc]
            box.signal(signal.SIGHUP)
        until(lambda: box.said().count("INFO reloading") == 5, "the last of them, too, is heeded")
        box.signal(signal.SIGTERM)
        until(lambda: box.code is not None, "it ends")
        assert (box.pid, box.code) == (pid, 0)
        assert json.loads(box.journal()[-1])["type"] == "callbox.status.stopping"


def test_no_thread_beside_the_deciding_one_takes_a_signal(box: RealBox) -> None:
    """It might outlive the loop by a moment, and take what is meant for the process that the box becomes."""
    tasks = Path(f"/proc/{box.pid}/task")
    blocked = {}
    for task in tasks.iterdir():
        [mask] = re.findall(r"^SigBlk:\s*([0-9a-f]+)$", (task / "status").read_text(), re.MULTILINE)
        blocked[int(task.name)] = {number for number in SIGNALS if int(mask, 16) >> (number - 1) & 1}
    assert blocked.pop(box.pid) == set()
    assert len(blocked) >= 5, "journal, status, a session, and the wires"
    assert all(found == set(SIGNALS) for found in blocked.values())


# ---- the disk


def not_a_database(path: Path) -> None:
    path.write_bytes(b"this was a journal once" * 500)


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE events (nobody_knows)")
        db.execute("PRAGMA user_version=99")


def of_another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE songs (title)")
        db.commit()


@pytest.mark.parametrize(
    ("make", "reason"),
    [(not_a_database, "not a database"), (newer, "version 99"), (of_another_program, "another program")],
)
def test_a_file_that_is_no_journal_is_moved_aside_and_the_box_works(tmp_path: Path, make: Any, reason: str) -> None:
    with RealBox(tmp_path) as box:
        box.state_dir.mkdir()
        make(box.state_dir / "journal.db")
        bytes_before = (box.state_dir / "journal.db").read_bytes()
        box.broker.start()
        box.start_central()
        box.power_on()
        box.armed()
        [aside] = [file for file in box.state_dir.iterdir() if file.name.startswith("journal.db.aside-")]
        assert aside.read_bytes() == bytes_before
        assert reason in box.at_central("trouble.storage", transition="raised")["data"]["reason"]
        assert reason in box.at_central("status.started")["data"]["new_journal"]
        box.press_until_lit()
        box.at_central("alarm.panic")
        box.owes_nothing()


@pytest.mark.parametrize("where", ["file in its place", "/proc/callbox", "no lock to be had"])
def test_without_a_disk_the_box_is_armed_shows_red_and_sends_the_alarm(tmp_path: Path, where: str) -> None:
    with RealBox(tmp_path) as box:
        if where.startswith("/"):
            box.config["state_dir"] = where  # a folder that nobody can make, root neither
            box.write_config()
        elif where.startswith("no lock"):
            (box.state_dir / "lock").mkdir(parents=True)  # without it another box may be at the same journal
        else:
            box.state_dir.write_text("in the way")
        box.broker.start()
        box.start_central()
        began_s = time.monotonic()
        box.power_on()
        box.armed()
        box.lit(RED, began_s)
        pressed_s = box.press()
        alarm = box.at_central("alarm.panic", transition="raised")
        assert box.at_central("trouble.storage")["data"]["reason"]
        assert "without a disk" in box.said()
        assert alarm["journal"] == box.stored("trouble")[0]["journal"]
        # amber may say that central has it, but no sooner than central has
        rows = [row for row in box.rows() if row["id"] == alarm["id"]]
        lit_s = box.lit(AMBER, pressed_s)
        stored_s = datetime.fromisoformat(rows[0]["received_at"]).timestamp() - (time.time() - time.monotonic())
        assert lit_s > stored_s - 0.005
        assert box.stop() == 0
