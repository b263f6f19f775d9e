"""A journal with something in every table, for `callbox fsck`, and what it says of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from written import CASE, SIGNER, Written

from agent.compliance import Compliance
from agent.evidence import Clip
from agent.fsck import Fsck
from agent.mail import Write
from agent.rules import Rule


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Written]:
    """28 events; two holes, and something in every table."""
    monkeypatch.setenv("CALLBOX_LANG", "en")
    made = Written(tmp_path)
    measure = Compliance("", 90.0, 0.0, 0.0).stored(60.0, 60.0)
    settings = {"last_end": "crash", "raised mains": "1", "merged door": "3", "compliance": measure}
    made.write(count=20, settings=settings, seen={"command-1": 9e11})
    made.press("case-1", 1)
    made.press("case-1", 2)
    made.press("case-2", 1)
    made.write("audit.closed", {"case": "case-2", "by": "reset", "note": ""}, cases={"case-2": None})
    made.write("alarm.panic", {"transition": "restored", "input": "alarm-1", "case": "case-2", "count": 1})
    made.write(delivered=((1, 6), (9, 12)))
    made.prune()
    made.write(delivered=((18, 19),), parked={14: "central: no"}, owe=((15, 16),))
    yield made
    made.journal.close()


CLIP = Clip(CASE, "front", "alarm", 1000.0, 990.0, 1020.0)


@pytest.fixture
def filmed(box: Written) -> Written:
    """The same with evidence: a start, an alarm's picture and clip, a file that went, a clip under way; 33 events."""
    box.write("status.started", {"agent": "1.0.0", "last_end": "crash"})
    box.evidence(b"a picture", b"a clip")
    box.evidence(b"a picture of the other side", camera="back")
    box.discard(box.evidence(b"an old picture"))
    box.journal.write([Write(clips={CLIP.name: CLIP.stored("5f0c2a9e", 1)})])
    return box


def broken(box: Written) -> dict[Rule, tuple[str, ...]]:
    """The rules that are broken, and where."""
    return {fault.rule: fault.places for fault in Fsck(box.state_dir, SIGNER.public).faults}


GONE = "a" * 43


def named(found: Any, rule: Rule) -> dict[str, Any]:
    """What is told of one rule."""
    [fault] = [fault for fault in found["faults"] if fault["rule"] == rule]
    assert isinstance(fault, dict)
    return fault
