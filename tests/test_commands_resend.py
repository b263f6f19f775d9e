"""What central or somebody at the box asks for again: by command, and by `callbox resend`."""

from typing import Any

import pytest
from bench_box import DESK, Bench, bench, signed

__all__ = ["bench"]  # a fixture


def test_resend_owes_the_events_again(bench: Bench) -> None:
    bench.receipt(through=len(bench.events))
    assert bench.journal.owed == {}
    bench.sent.clear()
    data = bench.command("resend", {"journal": bench.journal.name, "ranges": [[1, 1], [500, 600]]})
    assert (data["result"], data["ranges"]) == ("done", [[1, 1]])
    assert [event["boxseq"] for event in bench.published()] == [1, 2]


@pytest.mark.parametrize(
    ("ranges", "reason"),
    [
        (None, "ranges: a list"),
        ([[1]], "range [1]"),
        ([[2, 1]], "range [2, 1]"),
        ([[0, 1]], "range [0, 1]"),
        ([[True, 2]], "range [True, 2]"),
        ([[1.0, 2]], "ranges"),
        ([["1", 2]], "range ['1', 2]"),
    ],
)
def test_resend_of_what_is_no_range_is_refused(bench: Bench, ranges: Any, reason: str) -> None:
    if reason == "ranges":
        order = signed(DESK, bench.order("resend", {"journal": bench.journal.name, "ranges": ranges}))
        bench.arrive("command", order)  # in canonical form 1.0 is 1
        assert bench.of("audit.command")[-1]["result"] == "done"
        return
    data = bench.command("resend", {"journal": bench.journal.name, "ranges": ranges})
    assert data["result"] == "refused"
    assert data["reason"].startswith(reason)


def test_resend_of_another_journal_is_refused(bench: Bench) -> None:
    data = bench.command("resend", {"journal": "00000000", "ranges": [[1, 1]]})
    assert data["reason"] == f"the journal here is {bench.journal.name}"


def test_the_longest_resend_fits_its_event(bench: Bench) -> None:
    """64 KB of a command and what an event adds to it are more than the 64 KB of an event."""
    for number in range(10):
        bench.scan(str(number))
    for count, result in ((9_280, "refused"), (1_000, "done")):
        order = signed(DESK, bench.order("resend", {"journal": bench.journal.name, "ranges": [[1, 10]] * count}))
        assert len(order) < 65_536
        before = len(bench.events)
        bench.arrive("command", order)
        assert len(bench.events) == before + 1
        assert bench.of("audit.command")[-1]["result"] == result


def at_the_box(bench: Bench, ranges: Any, journal: str = "") -> list[Any]:
    """`callbox resend`; what it is answered."""
    answers: list[Any] = []
    bench.box.resend({"journal": journal or bench.journal.name, "ranges": ranges}, answers.append, bench.stamp)
    bench.act()
    return answers


def test_at_the_box_itself_events_are_asked_for_again_as_by_command_and_leave_the_same_event(bench: Bench) -> None:
    bench.receipt(through=len(bench.events))
    bench.sent.clear()
    [answer] = at_the_box(bench, [[1, 1], [500, 600]])
    assert (answer["result"], answer["ranges"]) == ("done", [[1, 1]])
    [data] = bench.of("audit.command")
    here = {name: value for name, value in data.items() if name != "monotonic_s"}
    assert here == {"result": "done", "verb": "resend", "by": "/local", "ranges": [[1, 1]]}
    assert [event["boxseq"] for event in bench.published()] == [1, 2]
    asked = bench.command("resend", {"journal": bench.journal.name, "ranges": [[1, 1]]})
    assert asked.keys() - data.keys() == {"command"}


def test_the_answer_comes_when_it_is_on_the_disk_and_not_before(bench: Bench) -> None:
    bench.disk_works = False
    answers = at_the_box(bench, [[1, 1]])
    assert answers == []
    bench.disk_works = True
    bench.commit()
    assert [answer["result"] for answer in answers] == ["done"]
    [write] = [write for write in bench.journal.writes if write.owe]
    assert [event.cls for event in write.events] == ["audit"], "debt and event in one transaction"


DEEPEST: Any = []
for _ in range(100_000):
    DEEPEST = [DEEPEST]


@pytest.mark.parametrize(
    ("ranges", "reason"),
    [
        (None, "ranges: a list"),
        ([[2, 1]], "range [2, 1]"),
        ([[1, 2]] * 1_001, "ranges: a list of at most 1000"),
        (DEEPEST, ""),
    ],
    ids=["nothing", "backwards", "too many", "deep"],
)
def test_what_cannot_be_sent_again_is_refused_at_the_box_too(bench: Bench, ranges: Any, reason: str) -> None:
    [answer] = at_the_box(bench, ranges)
    assert answer["result"] == "refused"
    assert answer["reason"].startswith(reason)
    [data] = bench.of("audit.command")
    assert data.items() >= {"result": "refused", "verb": "resend", "by": "/local", "reason": answer["reason"]}.items()


def test_at_the_box_another_journal_is_refused_too(bench: Bench) -> None:
    """The one on the disk is not the one that is written, while the disk does not work."""
    [answer] = at_the_box(bench, [[1, 1]], "00000000")
    assert answer["reason"] == f"the journal here is {bench.journal.name}"
    assert not [write for write in bench.journal.writes if write.owe]


def test_a_flood_of_what_is_refused_at_the_box_is_answered_each_time_and_merged(bench: Bench) -> None:
    answers = [at_the_box(bench, None)[0]["result"] for _ in range(50)]
    assert answers == ["refused"] * 50
    assert len(bench.of("audit.command")) == 10
