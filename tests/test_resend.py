"""`callbox resend`: to a real box, and to one that is not there, refuses, or is older than the command."""

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from real_box import DEADLINE_S, Peer, RealBox, until

from agent.cli import main
from agent.journal import FILE, Journal
from agent.status import SOCKET
from simulators.central import wire


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealBox]:
    with RealBox(tmp_path_factory.mktemp("running")) as made:
        made.broker.start()
        made.power_on()
        yield made.armed()


def resend(box: RealBox, *args: str, state_dir: Path | None = None) -> tuple[int, Any]:
    done = box.callbox("resend", "--json", "--state-dir", str(state_dir or box.state_dir), *args)
    return done.returncode, json.loads(done.stdout or b"null")


def parked(box: RealBox, *args: str) -> bytes:
    return box.callbox("events", "--parked", "--state-dir", str(box.state_dir), *args).stdout


def asked(box: RealBox) -> list[dict[str, Any]]:
    events = [json.loads(body) for body in box.journal()]
    return [event["data"] for event in events if event["type"] == "callbox.audit.command"]


@pytest.mark.real
def test_what_central_refused_is_shown_with_its_reason_and_goes_out_again_when_somebody_asks(box: RealBox) -> None:
    with Peer(box.broker.port) as peer:

        def heard(**data: Any) -> list[dict[str, Any]]:
            """Each time that such an event came; nobody says here that it takes batches."""
            events = [json.loads(payload) for topic, payload, _ in list(peer.heard) if topic.startswith("event/")]
            return [event for event in events if data.items() <= event["data"].items()]

        box.scan("too strange")
        event = until(lambda: heard(code="too strange"), "the scan is at central")[0]
        seq, before = event["boxseq"], len(asked(box))
        refusal = {"journal": event["journal"], "through": 0, "refused": {str(seq): "no such code here"}}
        peer.say("receipt", wire.signed(refusal, box.keys["central"]))
        until(lambda: heard(parked=seq), "central hears that it is parked")
        times = len(heard(code="too strange"))
        assert json.loads(parked(box, "--json")) == event
        assert "no such code here" in parked(box).decode()
        done = {"result": "done", "verb": "resend", "by": "/local", "ranges": [[seq, seq]]}
        assert resend(box, "--parked") == (0, done)
        assert asked(box)[before:] == [{**done, "monotonic_s": asked(box)[-1]["monotonic_s"]}]
        until(lambda: len(heard(code="too strange")) > times, "it is at central once more")
        assert parked(box) == b""
        assert resend(box, "--parked") == (0, {"result": "done", "ranges": []})
        assert len(asked(box)) == before + 1, "where nothing is parked nobody is asked"


@pytest.mark.real
def test_ranges_are_joined_and_cut_to_what_is_recorded(box: RealBox) -> None:
    code, answer = resend(box, "2-3", "1", "1-2", "900000-900001")
    assert (code, answer["ranges"]) == (0, [[1, 3]])
    said = box.callbox("resend", "--state-dir", str(box.state_dir), "1", "3-3").stdout.decode()
    assert "1, 3" in said
    assert resend(box, "900000")[1]["ranges"] == []


@pytest.mark.real
def test_a_box_that_writes_another_journal_refuses(box: RealBox, tmp_path: Path) -> None:
    Journal(tmp_path / FILE).close()
    (tmp_path / SOCKET).symlink_to(box.state_dir / SOCKET)
    code, answer = resend(box, "1", state_dir=tmp_path)
    assert (code, answer["result"]) == (1, "refused")
    assert answer["reason"] == f"the journal here is {box.status()['journal']}"
    assert asked(box)[-1].items() >= {"result": "refused", "verb": "resend", "by": "/local"}.items()
    said = box.callbox("resend", "--state-dir", str(tmp_path), "1")
    assert said.returncode == 1
    assert answer["reason"] in said.stdout.decode()


@pytest.mark.real
def test_a_request_that_no_box_knows_is_answered_with_an_error_and_the_box_goes_on(box: RealBox) -> None:
    for line in (b'{"ask": "sing"}', b"{}", b'{"ask": ["status"]}'):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
            door.settimeout(DEADLINE_S)
            door.connect(str(box.state_dir / SOCKET))
            door.sendall(line + b"\n")
            assert "unknown request" in json.loads(door.makefile("rb").readline())["error"]
    assert box.status()["armed"]


def test_where_no_box_runs_nothing_is_sent_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Journal(tmp_path / FILE).close()
    assert main(["resend", "--state-dir", str(tmp_path), "1"]) == 3
    assert str(tmp_path) in capsys.readouterr().out
    assert main(["resend", "--state-dir", str(tmp_path), "--json", "1"]) == 3
    assert json.loads(capsys.readouterr().out) == {}
    assert main(["resend", "--state-dir", str(tmp_path / "nowhere"), "1"]) == 1


def test_a_box_of_before_that_knows_only_its_status_has_done_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Journal(tmp_path / FILE).close()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(str(tmp_path / SOCKET))
        door.listen(1)

        def answer() -> None:
            with door.accept()[0] as asker:
                asker.sendall(b'{"armed": true}')

        older = threading.Thread(target=answer)
        older.start()
        assert main(["resend", "--state-dir", str(tmp_path), "1"]) == 1
        older.join(DEADLINE_S)
    assert "older" in capsys.readouterr().err


@pytest.mark.parametrize(
    "args",
    [[], ["0"], ["3-2"], ["1-"], ["-3"], ["x"], ["1,2"], ["\u0661"], ["9" * 16], ["--parked", "1"]],
)
def test_what_is_no_range_is_said_before_anybody_is_asked(
    tmp_path: Path, args: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["resend", "--state-dir", str(tmp_path), *args])
    assert ended.value.code == 2
    assert "usage: callbox resend" in capsys.readouterr().err
