"""The lamp: each phase has a pattern of its own, and several are shown one after the other."""

from itertools import combinations, pairwise

import pytest

from agent.feedback import PATTERNS, TURN_S, Feedback, Show

STEP_S = 0.025


def film(feedback: Feedback, from_s: float, seconds: float) -> str:
    """One character for each 25 ms, looked at in its middle: the colour's first letter, `.` for dark."""
    frames = range(round(seconds / STEP_S))
    return "".join((feedback.lit(from_s + (n + 0.5) * STEP_S) or ".")[0] for n in frames)


def shown(*shows: Show, at_s: float = 100.0) -> Feedback:
    feedback = Feedback()
    feedback.update(shows, at_s)
    return feedback


def times(film: str) -> list[tuple[str, float]]:
    """How long each colour stood."""
    runs: list[tuple[str, float]] = []
    for frame in film:
        before = runs.pop() if runs and runs[-1][0] == frame else (frame, 0.0)
        runs.append((frame, round(before[1] + STEP_S, 3)))
    return runs


@pytest.mark.parametrize(
    ("show", "one_round"),
    [
        ("fault", [("r", 0.125), (".", 0.125)]),
        ("recorded", [("a", 4.0)]),
        ("waiting", [("a", 1.0), (".", 1.0)]),
        ("received", [("a", 0.2), (".", 1.8)]),
        ("acknowledged", [("g", 3.0), (".", 0.2), ("g", 0.2), (".", 0.2)]),
    ],
)
def test_each_phase_is_lit_for_the_times_of_its_pattern(show: Show, one_round: list[tuple[str, float]]) -> None:
    seconds = sum(part for _, part in one_round)
    assert times(film(shown(show), 100.0, seconds)) == one_round
    assert film(shown(show), 100.0 + 50 * seconds, seconds) == film(shown(show), 100.0, seconds), "over and over"


def test_a_single_lamp_of_one_colour_tells_all_phases_apart() -> None:
    films = {show: film(shown(show), 100.0, 4.0).translate(str.maketrans("arg", "xxx")) for show in PATTERNS}
    for one, other in combinations(PATTERNS, 2):
        assert films[one] != films[other], f"{one} looks like {other}"


def test_nothing_to_show_is_dark_and_never_due() -> None:
    feedback = Feedback()
    assert feedback.lit(5.0) is None
    assert feedback.due_s(5.0) is None


def test_several_are_shown_one_after_the_other_and_none_hides_another() -> None:
    feedback = shown("acknowledged", "waiting", "fault")
    turns = [film(feedback, 100.0 + n * TURN_S, TURN_S) for n in range(6)]
    alone = [film(shown(show), 100.0, TURN_S) for show in ("fault", "waiting", "acknowledged")]
    assert turns == alone * 2


def test_what_is_new_comes_first_and_begins_at_once() -> None:
    feedback = shown("fault")
    feedback.update(["fault", "acknowledged"], 107.3)
    assert film(feedback, 107.3, TURN_S) == film(shown("acknowledged"), 100.0, TURN_S)
    assert film(feedback, 107.3 + TURN_S, TURN_S) == film(shown("fault"), 100.0, TURN_S)


def test_the_same_again_does_not_begin_anew() -> None:
    feedback = shown("waiting")
    feedback.update(["waiting", "waiting"], 100.5)
    assert times(film(feedback, 100.5, 1.5)) == [("a", 0.5), (".", 1.0)]


def test_what_is_over_is_gone_at_once() -> None:
    feedback = shown("fault", "recorded")
    feedback.update(["recorded"], 101.0)
    assert set(film(feedback, 101.0, 10.0)) == {"a"}
    feedback.update([], 102.0)
    assert set(film(feedback, 102.0, 10.0)) == {"."}


@pytest.mark.parametrize("at_s", [0.0, 100.0, 3_000_000.123])
def test_who_looks_only_when_it_is_due_misses_no_change(at_s: float) -> None:
    """Float times of a machine that is up for a month round, and still no change is missed nor asked for twice."""
    for shows in [("received",), ("acknowledged",), ("waiting", "received", "fault")]:
        feedback = shown(*shows, at_s=at_s)  # type: ignore[arg-type]
        seen, now_s, looks = [(at_s, feedback.lit(at_s))], at_s, 0
        while now_s < at_s + 24.0:
            due_s = feedback.due_s(now_s)
            assert due_s is not None
            assert due_s > now_s
            now_s, looks = due_s, looks + 1
            seen.append((now_s, feedback.lit(now_s)))
        assert looks < 400
        for (since_s, color), (until_s, _) in pairwise(seen):
            for part in (0.25, 0.5, 0.75):
                assert feedback.lit(since_s + part * (until_s - since_s)) == color


def test_a_steady_lamp_is_never_due() -> None:
    assert shown("recorded").due_s(200.0) is None
