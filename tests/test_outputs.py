"""What buzzers, sirens, strobes and relays do, and when they stop."""

from itertools import combinations
from typing import Any

import pytest
from bench_box import DESK, YAML, Bench, signed

from agent.feedback import PATTERNS
from agent.mail import Action, Publish, SetOutput, StorageFailed

OUTPUTS = """\
  - {id: buzzer, driver: gpio0, pin: 13, role: buzzer}
  - {id: siren, driver: gpio0, pin: 14, role: siren, longest_s: 300}
  - {id: strobe, driver: gpio0, pin: 15, role: strobe}
  - {id: near, driver: gpio0, pin: 16, role: neighbour}
  - {id: gate, driver: gpio0, pin: 19, role: relay}
  - {id: lock, driver: gpio0, pin: 20, role: relay, safe: "on"}
  - {id: door-siren, driver: gpio0, pin: 21, role: siren, inputs: [door, ill]}
"""
INPUTS = """\
  - {id: smoke, driver: gpio0, pin: 7, kind: fire}
  - {id: ill, driver: gpio0, pin: 8, kind: medical}
"""
TEXT = YAML.replace("outputs:\n", INPUTS + "outputs:\n" + OUTPUTS)
HEARD = {"siren", "strobe"}


class Filmed(Bench):
    """Knows when which output was set."""

    def _do(self, action: Action) -> None:
        super()._do(action)
        if isinstance(action, SetOutput):
            self.moved.append((self.now_s, action.output, action.on))

    def __init__(self, text: str = TEXT) -> None:
        self.moved: list[tuple[float, str, bool]] = []
        super().__init__(text)


@pytest.fixture
def bench() -> Filmed:
    """Its session stands, and nothing makes a sound."""
    made = Filmed(TEXT)
    made.connect()
    assert made.lit == {"lock"}
    return made


def case(bench: Bench, kind: str = "panic") -> str:
    name: str = bench.of(f"alarm.{kind}")[-1]["case"]
    return name


def film(bench: Filmed, output: str, seconds: float) -> list[tuple[bool, float]]:
    """How long it stood on and off, from now on."""
    began_s, stands, runs = bench.now_s, output in bench.lit, []
    from_s, known = began_s, len(bench.moved)
    bench.wait(seconds)
    for at_s, moved, on in bench.moved[known:]:
        if moved == output:
            runs.append((stands, round(at_s - from_s, 2)))
            stands, from_s = on, at_s
    return [*runs, (stands, round(bench.now_s - from_s, 2))]


# ---- sirens and strobes


def test_a_siren_sounds_until_somebody_has_seen_the_alarm_and_the_strobe_until_it_is_closed(bench: Filmed) -> None:
    bench.press("alarm-1")
    assert bench.lit >= HEARD
    bench.command("acknowledge", {"alarm": case(bench)})
    assert bench.lit & HEARD == {"strobe"}
    bench.command("close", {"alarm": case(bench)})
    assert not bench.lit & HEARD


def test_a_siren_waits_for_the_disk_as_the_lamp_does(bench: Filmed) -> None:
    bench.disk_works = False
    bench.press("alarm-1")
    assert not bench.lit & HEARD
    bench.commit()
    assert bench.lit >= HEARD


@pytest.mark.parametrize("connected", [True, False])
def test_a_silent_alarm_moves_no_output_of_any_role(connected: bool) -> None:
    bench = Bench(TEXT)
    if connected:
        bench.connect()
        bench.receipt(through=len(bench.events))
    bench.wait(1)
    bench.did.clear()
    bench.edge("hidden", True)
    bench.wait(20)
    bench.receipt(through=len(bench.events)) if connected else None
    bench.wait(5)
    assert not [action for action in bench.did if isinstance(action, SetOutput)]


def test_a_siren_ends_by_itself_and_lamp_and_strobe_do_not(bench: Filmed) -> None:
    bench.press("alarm-1")
    pressed_s = bench.now_s
    bench.wait(299)
    assert "siren" in bench.lit
    bench.wait(2)
    assert "siren" not in bench.lit
    bench.wait(3600)
    assert bench.lit & HEARD == {"strobe"}
    assert bench.box.status()["outputs"]["lamp"]["value"] == "on"
    assert bench.now_s > pressed_s + 3600


def test_presses_while_a_siren_sounds_do_not_make_it_longer_and_one_after_it_begins_anew(bench: Filmed) -> None:
    bench.press("alarm-1")
    for _ in range(5):
        bench.wait(49.8)
        bench.press("alarm-1")
    assert "siren" in bench.lit
    bench.wait(51)
    assert "siren" not in bench.lit
    bench.press("alarm-1")
    assert 299.8 < film(bench, "siren", 301)[0][1] <= 300.0


def test_another_alarm_while_a_siren_sounds_is_heard_and_does_not_make_it_longer(bench: Filmed) -> None:
    bench.press("alarm-1")
    bench.wait(200)
    bench.press("door")
    bench.command("acknowledge", {"alarm": case(bench)})
    assert "siren" in bench.lit, "nobody has seen the other one"
    bench.wait(100)
    assert "siren" not in bench.lit


def test_a_door_in_the_wind_rings_once_until_somebody_has_seen_it(bench: Filmed) -> None:
    bench.press("door")
    bench.wait(301)
    for _ in range(20):
        bench.press("door")
        assert "siren" not in bench.lit
        bench.wait(60)
    bench.command("acknowledge", {"alarm": case(bench, "intrusion")})
    bench.press("door")
    assert "siren" in bench.lit


def test_a_button_with_a_bad_contact_does_not_wail_all_night() -> None:
    bench = Bench(TEXT.replace("longest_s: 300", "longest_s: 20"))
    for _ in range(100):
        bench.press("alarm-1", 0.15)
    assert bench.of("alarm.panic")[-1]["merged"]
    assert "siren" not in bench.lit


def test_fire_has_the_temporal_pattern_and_goes_before_all_else(bench: Filmed) -> None:
    bench.press("alarm-1")
    assert film(bench, "siren", 10) == [(True, 10.0)]
    bench.press("smoke")
    bench.command("acknowledge", {"alarm": case(bench)})
    three = [(True, 0.5), (False, 0.5), (True, 0.5), (False, 0.5), (True, 0.5), (False, 1.5)]
    told = film(bench, "siren", 12)
    start = told.index((False, 1.5)) + 1
    assert told[start : start + 6] == three
    assert bench.box.status()["outputs"]["siren"] == {"role": "siren", "value": "on"}, "also between two pulses"


def test_who_needs_a_doctor_gets_light_and_a_siren_only_where_the_config_names_the_button(bench: Filmed) -> None:
    bench.press("ill")
    assert bench.lit & {"siren", "strobe", "door-siren"} == {"strobe", "door-siren"}


def test_a_siren_that_names_inputs_answers_no_others(bench: Filmed) -> None:
    bench.press("alarm-1")
    assert "door-siren" not in bench.lit
    bench.press("door")
    assert "door-siren" in bench.lit


def test_no_test_sounds_or_flashes(bench: Filmed) -> None:
    bench.did.clear()
    bench.command("test", {"what": "loop"})
    bench.command("test", {"what": "walk", "for_s": 60})
    bench.press("alarm-1")
    bench.press("smoke")
    bench.wait(70)
    moved = {action.output for action in bench.did if isinstance(action, SetOutput)}
    assert moved == {"lamp", "buzzer"}, "who walks the test sees and hears that the point works"


def test_a_press_of_an_open_alarm_during_a_walk_test_rings_for_nobody(bench: Filmed) -> None:
    bench.press("alarm-1")
    bench.command("acknowledge", {"alarm": case(bench)})
    bench.command("test", {"what": "walk", "for_s": 60})
    bench.press("alarm-1")
    assert bench.lit & HEARD == {"strobe"}


def test_the_reset_key_at_the_place_ends_all_of_it(bench: Filmed) -> None:
    bench.press("alarm-1")
    bench.press("key")
    assert not bench.lit & HEARD


def test_after_a_start_no_siren_sounds_for_an_alarm_of_before_and_the_strobe_does(bench: Filmed) -> None:
    bench.press("alarm-1")
    bench.restart()
    bench.wait(10)
    assert bench.lit & HEARD == {"strobe"}
    bench.press("alarm-1")
    assert bench.lit >= HEARD


def test_on_a_dead_disk_the_siren_sounds_all_the_same(bench: Filmed) -> None:
    bench.fail_disk()
    bench.press("alarm-1")
    assert bench.lit >= HEARD


# ---- buzzers


def tone(bench: Filmed, seconds: float = 3.0) -> list[float]:
    """Seconds on, off, on ... of the buzzer, without the silence before and after."""
    runs = film(bench, "buzzer", seconds)
    while runs and not runs[0][0]:
        runs.pop(0)
    return [for_s for _, for_s in runs[:-1]]


def test_each_phase_is_heard_once_in_a_tone_of_its_own() -> None:
    bench = Filmed()
    bench.connect()
    bench.edge("alarm-1", True)
    bench.wait(0.02)
    assert tone(bench, 1.5) == pytest.approx([0.1], abs=0.03)
    assert tone(bench, 5) == pytest.approx([0.3, 0.3, 0.3], abs=0.02), "2 s without a word of central"
    bench.receipt(through=len(bench.events))
    assert tone(bench) == pytest.approx([0.1, 0.1, 0.1], abs=0.02)
    bench.command("acknowledge", {"alarm": case(bench)})
    assert tone(bench) == pytest.approx([0.8], abs=0.02)
    bench.wait(60)
    bench.did.clear()
    bench.wait(600)
    assert not [action for action in bench.did if isinstance(action, SetOutput) and action.output == "buzzer"]


def test_no_two_tones_are_alike() -> None:
    for one, other in combinations(PATTERNS, 2):
        assert PATTERNS[one].tone_s != PATTERNS[other].tone_s


def test_each_press_is_answered_also_in_an_open_case(bench: Filmed) -> None:
    bench.press("alarm-1")
    bench.receipt(through=len(bench.events))
    bench.wait(5)
    bench.edge("alarm-1", True)
    bench.wait(0.02)
    assert tone(bench, 1) == pytest.approx([0.1], abs=0.03)


def test_tones_that_come_together_are_played_one_after_the_other(bench: Filmed) -> None:
    bench.edge("alarm-1", True)
    bench.wait(0.02)
    bench.receipt(through=len(bench.events))  # a fast line: within the first tone
    assert tone(bench) == pytest.approx([0.1, 0.5, 0.1, 0.1, 0.1], abs=0.03)


def test_a_storm_of_alarms_makes_one_tone_of_each_and_no_queue(bench: Filmed) -> None:
    for _ in range(3):
        for name in ("alarm-1", "door", "smoke", "ill"):
            bench.press(name, 0.03)
    bench.wait(3)
    assert tone(bench, 20) == []


def test_a_press_that_no_disk_keeps_sounds_as_a_fault_and_never_as_recorded(bench: Filmed) -> None:
    bench.say(StorageFailed(bench.journal.name, "disk I/O error"))
    assert len(tone(bench)) == 7, "that there is a fault is told when it begins"
    bench.edge("alarm-1", True)
    bench.wait(0.02)
    assert len(tone(bench)) == 7


def test_at_a_start_each_output_is_set_whatever_the_run_before_left_on() -> None:
    bench = Filmed()
    assert {output: on for _, output, on in bench.moved} == {
        **dict.fromkeys(("lamp", "buzzer", "siren", "strobe", "near", "gate", "door-siren"), False),
        "lock": True,
    }
    bench.wait(5)
    assert len(bench.moved) == 8, "and then left alone"


# ---- by command


def order(bench: Bench, output: str, state: str = "on", for_s: Any = 30) -> dict[str, Any]:
    return bench.command("output", {"output": output, "state": state, "for_s": for_s})


def test_a_command_holds_an_output_until_its_end_and_leaves_its_event(bench: Filmed) -> None:
    told = order(bench, "gate", for_s=30)
    assert told.items() >= {"result": "done", "output": "gate", "state": "on", "for_s": 30}.items()
    bench.wait(29.9)
    assert "gate" in bench.lit
    bench.wait(0.2)
    assert "gate" not in bench.lit


def test_a_command_is_on_the_disk_before_anything_moves(bench: Filmed) -> None:
    bench.disk_works = False
    bench.arrive("command", bench_signed(bench, "gate"))
    bench.wait(1)
    assert "gate" not in bench.lit
    bench.commit()
    assert "gate" in bench.lit


def bench_signed(bench: Bench, output: str) -> bytes:
    return signed(DESK, bench.order("output", {"output": output, "state": "on", "for_s": 30}))


def test_a_relay_stands_in_its_safe_state_without_a_command(bench: Filmed) -> None:
    order(bench, "lock", "off", 10)
    assert "lock" not in bench.lit
    bench.wait(11)
    assert "lock" in bench.lit


def test_a_later_command_takes_the_place_of_the_one_before(bench: Filmed) -> None:
    order(bench, "gate", "on", 600)
    order(bench, "gate", "off", 1)
    bench.wait(5)
    assert "gate" not in bench.lit


def test_a_siren_that_was_held_off_does_again_what_it_does_by_itself(bench: Filmed) -> None:
    bench.press("alarm-1")
    order(bench, "siren", "off", 10)
    assert "siren" not in bench.lit
    bench.wait(11)
    assert "siren" in bench.lit


@pytest.mark.parametrize(
    ("output", "state", "for_s", "reason"),
    [
        ("lamp", "on", 30, "data.output: a command may drive buzzer, siren, strobe, near, gate, lock, door-siren"),
        ("cellar", "on", 30, "data.output: "),
        (["gate"], "on", 30, "data.output: "),
        ("gate", "blink", 30, "data.state: on or off"),
        ("gate", True, 30, "data.state: on or off"),
        ("gate", "on", None, "data.for_s: seconds, more than 0 and at most 900; nothing is driven without an end"),
        ("gate", "on", True, "data.for_s: "),
        ("gate", "on", "30", "data.for_s: "),
        ("gate", "on", 0, "data.for_s: "),
        ("gate", "on", -1, "data.for_s: "),
        ("gate", "on", 901, "data.for_s: "),
        ("siren", "on", 301, "data.for_s: seconds, more than 0 and at most 300"),
    ],
)
def test_what_may_not_be_driven_is_refused(bench: Bench, output: Any, state: Any, for_s: Any, reason: str) -> None:
    before = set(bench.lit)
    told = order(bench, output, state, for_s)
    assert told["result"] == "refused"
    assert told["reason"].startswith(reason)
    assert bench.lit == before


def test_a_repeated_command_is_done_once(bench: Filmed) -> None:
    payload = bench_signed(bench, "gate")
    bench.arrive("command", payload)
    bench.wait(31)
    bench.arrive("command", payload)
    assert "gate" not in bench.lit


# ---- the end, and the state


def test_when_the_box_ends_each_output_goes_to_its_safe_state_and_stays_there(bench: Filmed) -> None:
    bench.press("alarm-1")
    order(bench, "lock", "off", 600)
    order(bench, "gate", "on", 600)
    bench.box.quiet(bench.stamp)
    bench.act()
    assert bench.lit == {"lock"}
    bench.press("smoke")
    bench.wait(700)
    assert bench.lit == {"lock"}
    assert bench.of("alarm.fire"), "what is pressed meanwhile is recorded"


def test_central_is_told_within_a_second_of_a_siren_and_not_of_each_blink(bench: Filmed) -> None:
    bench.receipt(through=len(bench.events))
    bench.wait(5)
    bench.did.clear()
    bench.press("smoke")
    bench.wait(1.2)
    assert bench.state["outputs"]["siren"] == {"role": "siren", "value": "on"}
    assert "near" not in bench.state["outputs"], "what is shown for a neighbour is the neighbour's to tell"
    bench.did.clear()
    bench.wait(20)
    assert len([action for action in bench.did if isinstance(action, Publish) and action.topic == "state"]) <= 1


def test_a_box_with_everything_on_it_asks_for_few_ticks(bench: Filmed) -> None:
    for name in ("alarm-1", "door", "smoke", "ill"):
        bench.press(name)
    bench.did.clear()
    bench.wait(60)
    moved = [action for action in bench.did if isinstance(action, SetOutput)]
    assert len(moved) < 60 * 8
