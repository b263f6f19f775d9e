"""The `list` command: what it may say, and when it is answered. Virtual time."""

from contextlib import suppress
from typing import Any

import pytest
from bench_box import Bench
from bench_lists import bench, question
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.commands import RefusedError
from agent.events import Stamp
from agent.lists import CHANGES_MAX, read_change
from agent.lists_mail import ChangeList, Entry, ListChanged
from drivers.contract import Code

__all__ = ["bench"]  # a fixture


def ordered(bench: Bench, data: dict[str, Any]) -> ChangeList:
    bench.arrive_command("list", data)
    asked = bench.asked.pop()
    assert isinstance(asked, ChangeList)
    return asked


def test_a_list_command_is_answered_when_it_is_on_the_disk(bench: Bench) -> None:
    told = {"name": "tickets", "add": ["A-1", {"code": "A-2", "expires": "2027-01-01T08:00:00+08:00"}], "remove": ["B"]}
    change = ordered(bench, told)
    assert change == ChangeList(
        change.ref, "tickets", (Entry("A-1"), Entry("A-2", 1_798_761_600.0)), ("B",), "", None, bench.wall_us / 1e6
    )
    assert bench.of("audit.command") == []
    bench.say(ListChanged(change.ref, 5))
    [audit] = bench.of("audit.command")
    assert {name: audit[name] for name in ("result", "verb", "by", "list", "codes")} == {
        "result": "done", "verb": "list", "by": "/operators/duty-desk", "list": "tickets", "codes": 5,
    }  # fmt: skip
    assert bench.journal.seen.keys() == {audit["command"]}


def test_a_change_that_the_disk_did_not_take_is_refused_with_its_reason(bench: Bench) -> None:
    change = ordered(bench, {"name": "tickets", "version": "2026-11-23", "count": 3})
    assert (change.version, change.count, change.add) == ("2026-11-23", 3, ())
    bench.say(ListChanged(change.ref, 0, "data.count: this version has 2 codes, and not 3"))
    [audit] = bench.of("audit.command")
    assert (audit["result"], audit["reason"]) == ("refused", "data.count: this version has 2 codes, and not 3")


def test_the_same_command_once_more_is_refused_while_the_first_is_on_its_way(bench: Bench) -> None:
    change = ordered(bench, {"name": "tickets", "add": ["A"]})
    assert bench.command("list", {"name": "tickets", "add": ["A"]}, id="command-1")["reason"].startswith("already seen")
    bench.say(ListChanged(change.ref, 1))
    assert bench.of("audit.command")[-1]["result"] == "done"


def test_more_changes_at_once_than_the_box_holds_are_refused(bench: Bench) -> None:
    for _ in range(CHANGES_MAX):
        ordered(bench, {"name": "tickets", "add": ["A"]})
    refused = bench.command("list", {"name": "tickets", "add": ["A"]})
    assert refused["reason"] == "50 changes of lists wait for the disk: go on when they are done"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({}, "data.name: this box has tickets, stolen, lost"),
        ({"name": "tikets"}, "data.name: this box has tickets, stolen, lost"),
        ({"name": ["tickets"]}, "data.name: this box has tickets, stolen, lost"),
        ({"name": "tickets", "add": "A-1"}, "data.add: a list is wanted"),
        ({"name": "tickets", "add": ["A", ""]}, "data.add[1]: a code, text of 1 to 8000 characters, is wanted"),
        ({"name": "tickets", "add": [7]}, "data.add[0]: a code, text of 1 to 8000 characters, is wanted"),
        ({"name": "tickets", "add": [{"code": "x" * 8001}]}, "data.add[0].code: a code, text of 1 to 8000 characters"),
        (
            {"name": "tickets", "add": [{"code": "A", "expires": "2027-01-01T00:00:00"}]},
            "data.add[0].expires: RFC 3339",
        ),
        ({"name": "tickets", "add": [{"code": "A", "expires": 7}]}, "data.add[0].expires: RFC 3339 with a time zone"),
        ({"name": "tickets", "remove": [None]}, "data.remove[0]: a code"),
        ({"name": "tickets", "version": ""}, "data.version: text of 1 to 40 characters is wanted"),
        ({"name": "tickets", "version": "v", "remove": ["A"]}, "data.remove: a new version holds what is added to it"),
        ({"name": "tickets", "count": 3}, "data.count: with a version, the number of its codes"),
        ({"name": "tickets", "version": "v", "count": True}, "data.count: with a version, the number of its codes"),
        ({"name": "tickets", "version": "v", "count": -1}, "data.count: with a version, the number of its codes"),
    ],
)
def test_a_list_command_that_cannot_be_meant_is_refused_and_says_why(bench: Bench, data: Any, reason: str) -> None:
    audit = bench.command("list", data)
    assert audit["result"] == "refused"
    assert audit["reason"].startswith(reason)
    assert bench.asked == []


VALUE = st.none() | st.integers(-2, 2) | st.floats() | st.text(max_size=3) | st.just("2027-01-01T00:00:00Z")
ENTRY = VALUE | st.lists(VALUE, max_size=1) | st.dictionaries(st.sampled_from(["code", "expires"]), VALUE)
ANY = VALUE | st.lists(ENTRY, max_size=2)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(["name", "add", "remove", "version", "count"]), ANY), st.booleans())
def test_no_data_of_a_list_command_makes_the_box_stumble(data: dict[str, Any], named: bool) -> None:
    with suppress(RefusedError):
        change = read_change({**data, "name": "tickets"} if named else data, {"tickets": None}, 1, Stamp(1.0, 1))
        for entry in change.add:
            assert entry.code.encode()


def test_codes_that_no_writer_takes_are_kept_as_a_scan_would_tell_them(bench: Bench) -> None:
    bench.say(Code("desk", "A\udc80", bench.now_s))
    assert question(bench).code == "A?"
    assert read_change({"name": "t", "add": ["A\udc80"]}, {"t": None}, 1, bench.stamp).add == (Entry("A?"),)
