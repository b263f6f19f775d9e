"""Patrol rounds: done, late, missed; and what never makes one up. Virtual time."""

import json
import random
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from bench_box import BOX_KEY, YAML, Bench
from config_file import english, file, mistakes
from fake_journal import FakeJournal

from agent.config import Patrol
from agent.events import Stamp
from agent.identity import Ed25519Signer
from agent.mail import Action, Say, Write
from agent.patrols import KEEP_S, Patrols
from agent.recorder import Recorder
from drivers.contract import Code

__all__ = ["english", "file"]  # fixtures

SHANGHAI = ZoneInfo("Asia/Shanghai")
NIGHT = {"name": "night", "input": "post", "every_min": 60, "grace_min": 10, "from": "22:00", "to": "06:00"}
ALL_DAY: dict[str, Any] = {"from": "00:00", "to": "00:00"}
MORNING: dict[str, Any] = {"from": "08:00", "to": "09:30"}
TO_THE_NEXT: dict[str, Any] = {"from": "22:00", "to": "21:55"}


class Night:
    """The patrols of a box on one night; time goes by in steps of ten seconds."""

    def __init__(
        self, at: str = "2026-11-22T21:30", *, synced: bool = True, zone: tzinfo = SHANGHAI, **keys: Any
    ) -> None:
        self.entry = Patrol.model_validate_json(json.dumps({**NIGHT, **keys}))
        self.zone, self.synced, self.mono_s = zone, synced, 1000.0
        self.wall_us = round(datetime.fromisoformat(at).replace(tzinfo=zone).timestamp() * 1e6)
        self.settings: dict[str, str] = {}
        self.out: list[Action] = []
        self.start()

    def start(self) -> None:
        """A run begins; the journal has its settings."""
        opened = FakeJournal(settings=self.settings).opened()
        self.recorder = Recorder(
            "/callbox/s/b", opened, Ed25519Signer(BOX_KEY), "b007", self.stamp, random.Random(1), self.out
        )
        self.patrols = Patrols([self.entry], self.settings, self.recorder, self.zone)

    @property
    def stamp(self) -> Stamp:
        return Stamp(self.mono_s, self.wall_us, self.synced)

    def dark(self, minutes: float) -> None:
        """So long nothing runs."""
        self.mono_s, self.wall_us = self.mono_s + minutes * 60, self.wall_us + round(minutes * 60e6)

    def step(self, minutes: float) -> None:
        """Somebody sets the clock."""
        self.wall_us += round(minutes * 60e6)

    def wait(self, minutes: float) -> None:
        for _ in range(round(minutes * 6)):
            self.dark(1 / 6)
            self.recorder.now = self.stamp
            self.patrols.tick()
            self.settings |= {k: v for a in self.out if isinstance(a, Write) for k, v in a.settings.items()}

    def check_in(self, tag: str = "04A2B9") -> list[str] | None:
        self.recorder.now = self.stamp
        names = self.patrols.of("post", tag)
        self.patrols.checked_in(names or ())
        return names

    @property
    def missed(self) -> bool:
        return "patrol night" in self.recorder.troubles


def test_a_round_is_missed_when_its_time_and_its_grace_are_over_and_not_before() -> None:
    night = Night()
    night.wait(30 + 69)
    assert not night.missed
    night.wait(2)
    assert night.recorder.troubles == {"patrol night": "no round at post within 60 min and 10 min of grace"}


def test_a_missed_round_is_told_once_and_is_over_with_the_next_check_in() -> None:
    night = Night()
    night.wait(30 + 300)
    told = [action.text for action in night.out if isinstance(action, Say)]
    assert told == ["trouble: patrol night: no round at post within 60 min and 10 min of grace"]
    night.check_in()
    assert not night.missed
    night.wait(69)
    assert not night.missed, "the time begins anew with the check-in"
    night.wait(2)
    assert night.missed


def test_rounds_in_time_are_no_trouble_the_whole_night() -> None:
    night = Night()
    for _ in range(12):
        night.wait(55)
        night.check_in()
    assert not night.missed


def test_nobody_is_expected_outside_of_the_hours() -> None:
    night = Night("2026-11-22T06:01")
    night.wait(15 * 60)
    assert not night.missed


def test_a_round_that_is_owed_when_the_hours_end_is_owed_still_and_one_that_is_not_is_not() -> None:
    for minutes, missed in ((5, True), (65, False)):  # owed at 05:55, and never: 06:05 is after the end
        night = Night("2026-11-23T03:50")
        night.wait(minutes)  # from 03:50 on nothing is known: it is watched from here
        night.wait(60)
        night.check_in()
        night.wait(180)
        assert night.missed is missed, minutes
    night.wait(24 * 60 - 600)
    assert not night.missed


def test_what_is_owed_is_not_forgiven_because_the_next_hours_begin() -> None:
    night = Night("2026-11-22T20:53", **TO_THE_NEXT)
    night.wait(69)
    assert not night.missed
    night.wait(2)
    assert night.missed


def test_every_night_begins_with_nothing_watched() -> None:
    night = Night("2026-11-23T05:20")
    night.wait(39)  # 39 minutes of the old night
    night.wait(16 * 60 + 60)  # until 22:59
    assert not night.missed
    night.wait(12)
    assert night.missed


def test_hours_that_end_where_they_begin_are_the_whole_day() -> None:
    night = Night("2026-11-22T12:00", **{**ALL_DAY, "every_min": 1440})
    night.wait(1440)
    night.check_in()
    night.wait(1449)
    assert not night.missed, "midnight is no new beginning"
    night.wait(2)
    assert night.missed


def test_hours_of_one_day_begin_and_end_on_it() -> None:
    night = Night("2026-11-22T07:59", **MORNING)
    night.wait(1 + 69)
    assert not night.missed
    night.wait(2)
    assert night.missed


@pytest.mark.parametrize("step_min", [-700, -180, -3, 3, 59, 180, 700, 60 * 24 * 400])
def test_no_step_of_the_clock_makes_up_a_missed_round(step_min: float) -> None:
    night = Night("2026-11-22T20:00")
    for _ in range(30):
        night.wait(20)
        night.step(step_min)
        night.wait(20)
        night.step(-step_min)
        night.check_in()
        assert not night.missed


def test_a_step_into_the_hours_leaves_the_whole_time_for_the_first_round() -> None:
    night = Night("2026-11-22T13:00")
    night.wait(5)
    night.step(13 * 60)  # 02:05
    night.wait(69)
    assert not night.missed
    night.wait(2)
    assert night.missed


def test_a_clock_that_nobody_has_set_makes_up_no_missed_round() -> None:
    night = Night("2026-11-22T23:00", synced=False)
    night.wait(600)
    assert not night.missed


def test_a_clock_that_was_right_once_is_believed_on_by_the_seconds_since() -> None:
    night = Night("2026-11-22T21:50")
    night.wait(1)
    night.synced = False
    night.step(-600)  # a wrong source: nobody vouches for it
    night.wait(9 + 69)
    assert not night.missed
    night.wait(2)
    assert night.missed


def test_a_box_without_power_makes_up_no_missed_round() -> None:
    night = Night()
    night.wait(60)  # 22:30
    night.dark(120)
    night.start()
    night.wait(30)
    assert not night.missed


def test_what_was_watched_outlives_a_run_but_for_five_minutes_at_most() -> None:
    night = Night()
    night.wait(30 + 60)
    night.start()
    night.wait(10 + KEEP_S / 60)
    assert night.missed, "whoever pulls the plug every hour is not excused"


def test_a_missed_round_that_stands_is_told_again_after_a_start_and_ends_with_a_check_in() -> None:
    night = Night()
    night.wait(30 + 71)
    night.start()
    assert not night.missed
    night.wait(1)
    assert night.missed
    night.check_in()
    night.wait(1)
    night.start()
    night.wait(1)
    assert not night.missed


def test_a_night_in_which_the_clocks_go_back_has_an_hour_more() -> None:
    night = Night("2026-10-25T01:30", zone=ZoneInfo("Europe/Berlin"))
    for _ in range(9):
        night.wait(65)
        night.check_in()
        assert not night.missed


def test_only_the_tags_that_the_config_names_count() -> None:
    night = Night(tags=["04A2B9"])
    night.wait(60)
    assert night.check_in("FFFFFF") == []
    assert night.check_in("04A2B9") == ["night"]
    assert night.patrols.of("other", "04A2B9") is None


def test_what_was_watched_is_not_written_again_while_it_does_not_change() -> None:
    night = Night("2026-11-22T12:00")
    night.wait(120)
    assert night.out == []


# ---- in the box

TAGS = "  - {id: tags, driver: panel, pressed: '^T:(?P<code>.+)$', kind: patrol}\n"
BOX = f"""\
{YAML.replace("outputs:", f"{TAGS}outputs:")}\
patrols:
  - {{name: day, input: point, every_min: 1, grace_min: 1}}
  - {{name: tagged, input: tags, every_min: 1, tags: [A1]}}
"""


def test_a_missed_round_is_an_event_a_trouble_of_the_state_and_restored_by_a_press() -> None:
    bench = Bench(BOX)
    bench.connect()
    bench.wait(130)
    assert "patrol day" in bench.state["trouble"]
    bench.press("point")
    assert [data["patrols"] for data in bench.of("scan.patrol")] == [["day"]]
    assert [(data["transition"], data["patrol"]) for data in bench.of("trouble.patrol")] == [
        ("raised", "day"),
        ("restored", "day"),
    ]
    types = [event["type"] for event in bench.events]
    assert types.index("callbox.scan.patrol") < len(types) - 1 == types.index("callbox.trouble.patrol", 3)
    assert bench.events[-1]["subject"] == "day"


def test_a_tag_of_no_patrol_is_recorded_and_is_no_round() -> None:
    bench = Bench(BOX)
    for tag in ("A1", "B2"):
        bench.say(Code("tags", tag, bench.now_s))
    assert [(data["code"], data["patrols"]) for data in bench.of("scan.patrol")] == [("A1", ["tagged"]), ("B2", [])]


def test_a_contact_that_is_stuck_at_the_start_walks_no_round() -> None:
    bench = Bench(BOX)
    bench.edge("point", True, initial=True)
    bench.wait(1)
    assert [data["patrols"] for data in bench.of("scan.patrol")] == [[]]


# ---- in the config

SMALL = """\
box: {site: s, id: b}
links:
  - url: mqtt://central.example
drivers:
  - {id: gpio0, type: gpio}
inputs:
  - {id: alarm-1, driver: gpio0, pin: 17, kind: panic}
  - {id: post, driver: gpio0, pin: 18, kind: patrol}
patrols:
"""


@pytest.mark.parametrize(
    ("patrol", "said"),
    [
        ("{name: n, input: pots, every_min: 60}", "input: found 'pots'; allowed: an input of kind patrol: post (did"),
        ("{name: n, input: alarm-1, every_min: 60}", "input: found 'alarm-1'; allowed: an input of kind patrol: post"),
        (
            "{name: n, input: post, every_min: 90, from: '08:00', to: '09:00'}",
            "every_min: found 90; allowed: at most 60 min, the length of its hours: else no round would ever be due",
        ),
        ("{name: n, input: post, every_min: 60, from: '24:00'}", "from: "),
        ("{name: n, input: post, every_min: 0}", "every_min: "),
        ("{name: n, input: post, every_min: 60, tags: ['']}", "tags[0]: "),
    ],
)
def test_a_patrol_that_cannot_be_walked_is_refused(file: Path, patrol: str, said: str) -> None:
    [mistake] = mistakes(file, f"{SMALL}  - {patrol}\n")
    assert mistake.startswith(f"box.yaml:10: patrols[0].{said}"), mistake


def test_two_patrols_of_one_name_are_refused(file: Path) -> None:
    one = "  - {name: n, input: post, every_min: 60}\n"
    [mistake] = mistakes(file, SMALL + one + one)
    assert "patrols[1].name" in mistake
