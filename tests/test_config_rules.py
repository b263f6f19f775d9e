"""Rules of an alarm that a config would break: refused by their names, with the line."""

from pathlib import Path

import pytest
from config_file import SMALL, english, file, loaded, mistakes

__all__ = ["english", "file"]  # fixtures
PATH = "paths:\n  - {id: sms, type: sms, port: /dev/ttyUSB0, to: ['+8613800000000']}\n"


def button(kind: str, debounce_ms: int) -> str:
    inputs = SMALL.index("inputs:")
    return SMALL[:inputs] + f"inputs:\n  - {{id: b, driver: gpio0, pin: 5, kind: {kind}, debounce_ms: {debounce_ms}}}\n"


@pytest.mark.parametrize("kind", ["panic", "duress", "holdup"])
def test_a_delay_on_a_hold_up_is_refused_by_its_name(file: Path, kind: str) -> None:
    [said] = mistakes(file, button(kind, 51))
    assert "inputs[0].debounce_ms: found 51; allowed: at most 50 ms (rule hold-up-delay" in said
    assert loaded(file, button(kind, 50)).inputs[0].debounce_ms == 50


@pytest.mark.parametrize("kind", ["medical", "tamper", "ac"])
def test_what_is_no_hold_up_may_be_debounced_for_longer(file: Path, kind: str) -> None:
    assert loaded(file, button(kind, 1000)).inputs[0].debounce_ms == 1000


def test_dp4_with_one_way_out_is_refused_by_its_name(file: Path) -> None:
    [said] = mistakes(file, SMALL + "profile: dp4\n")
    assert "profile: found dp4 with one way out" in said and "rule two-ways" in said


@pytest.mark.parametrize("more", ["profile: dp4\n" + PATH, "profile: sp6\n", "profile: relaxed\n", ""])
def test_two_ways_or_a_profile_that_needs_one_are_good(file: Path, more: str) -> None:
    assert loaded(file, SMALL + more).timing.dead_s in (90, 20, 200)


def test_rules_are_told_together_with_each_other(file: Path) -> None:
    assert len(mistakes(file, button("holdup", 99) + "profile: dp4\n")) == 2
