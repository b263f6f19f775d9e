"""What is done to the box in the mixed soak, and when: a pure function of one seed.

It is a row of rounds. In each, faults begin and end beside each other, in places that differ; then all is mended, and
the box has a while in which nothing is wrong. How long it takes to be well again is the daemon's own, real time, and
belongs to no schedule.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Final, NamedTuple


class Kind(NamedTuple):
    """One kind of fault. place: two that are on at once are in different ones. for_s: from and to."""

    place: str
    name: str
    for_s: tuple[float, float]

    def __str__(self) -> str:
        return f"{self.place} {self.name}"


LINKS: Final = ("link 1", "link 2")
WAYS: Final = {"cut": (2, 25), "half-open": (3, 30), "stalled": (3, 25), "64 kbit/s": (5, 25), "flaps": (4, 12)}
KINDS: Final = (
    *(Kind(link, name, for_s) for link in LINKS for name, for_s in WAYS.items()),
    Kind("broker", "killed", (0, 15)),
    Kind("broker", "refuses", (3, 15)),
    Kind("central", "stopped", (1, 25)),
    Kind("disk", "EIO on sync", (2, 20)),
    Kind("disk", "EIO on one sync", (1, 5)),
    Kind("disk", "EIO on write", (2, 20)),
    Kind("disk", "ENOSPC", (2, 20)),
    Kind("disk", "2 s a sync", (5, 20)),
    Kind("daemon", "SIGKILL", (0, 4)),
    Kind("daemon", "SIGKILL at the lamp", (0, 4)),
    Kind("daemon", "SIGTERM", (0, 4)),
    Kind("daemon", "SIGHUP", (0, 0)),
    Kind("daemon", "SIGSTOP", (1, 6)),
    Kind("panel", "unplugged", (1, 8)),
    Kind("panel", "garbage", (0, 0)),
    Kind("clock", "steps", (2, 15)),
)
ENDS_A_LIFE: Final = ("SIGKILL", "SIGKILL at the lamp", "SIGTERM", "SIGHUP")
HARSH, CYCLE = 10, 40
"""Of so many rounds the process is ended in the first alone: memory is judged over the long life that follows."""
OFFSET_S: Final = 5.0
FLAP_S: Final = 1.0
STEPS_S: Final = (-3600, -5, 3, 7200)
PACES_S: Final = (0.06, 0.2, 0.5, 1.5)
"""Between two movements of a hand. A press takes two (the next is the reset): so the dozen buttons of tests/hands.py
stay under ten presses each in 10 s, from which on they would be merged."""


class Step(NamedTuple):
    """at_s: since the round's begin. what: `begin`, `end`, or what flaps, `down` or `up`."""

    at_s: float
    what: str
    fault: "Fault"


@dataclass(frozen=True, slots=True)
class Fault:
    """From `at_s` to `end_s`, in seconds since the round's begin. step_s: by which a clock goes wrong."""

    kind: Kind
    at_s: float
    end_s: float
    step_s: int = 0

    def steps(self) -> list[Step]:
        """What is to be done for it."""
        steps = [Step(self.at_s, "begin", self), Step(self.end_s, "end", self)]
        if self.kind.name == "flaps":
            turns = range(1, int((self.end_s - self.at_s) / FLAP_S))
            steps += [Step(self.at_s + turn * FLAP_S, "up" if turn % 2 else "down", self) for turn in turns]
        return sorted(steps, key=lambda step: step.at_s)

    def __str__(self) -> str:
        step = f" by {self.step_s} s" if self.step_s else ""
        return f"{self.kind}{step} {self.at_s:.1f}-{self.end_s:.1f} s"


@dataclass(frozen=True, slots=True)
class Round:
    """pace_s: between two movements of a hand; codes: that are scanned beside each. burst: scanned at once, first."""

    number: int
    faults: tuple[Fault, ...]
    calm_s: float
    pace_s: float
    codes: int
    burst: int

    def steps(self) -> list[Step]:
        """All that is to be done, in order."""
        return sorted((step for fault in self.faults for step in fault.steps()), key=lambda step: step.at_s)

    def __str__(self) -> str:
        faults = ", ".join(map(str, self.faults))
        hands = f"pace {self.pace_s} s, {self.codes} codes, {self.burst} at once"
        return f"round {self.number}: {faults}; {hands}; calm {self.calm_s:.1f} s"


def rounds(seed: int) -> Iterator[Round]:
    """Without end. Every kind is drawn before one is drawn again, but for those that the rules hold back."""
    rng = random.Random(seed)
    deck: list[Kind] = []
    for number in count():
        spared = number % CYCLE >= HARSH
        faults: dict[str, Fault] = {}
        for _ in range(rng.choice((1, 2, 2, 3, 4))):
            kind = None
            while kind is None:
                kind = next((k for k in deck if k.place not in faults and not (spared and k.name in ENDS_A_LIFE)), None)
                deck += [] if kind else rng.sample(KINDS, len(KINDS))
            deck.remove(kind)
            at_s = rng.uniform(0, OFFSET_S)
            step_s = rng.choice(STEPS_S) if kind.place == "clock" else 0
            faults[kind.place] = Fault(kind, at_s, at_s + rng.uniform(*kind.for_s), step_s)
        yield Round(
            number,
            tuple(faults.values()),
            rng.uniform(3, 8),
            rng.choice(PACES_S),
            rng.choice((1, 1, 3)),
            rng.choice((0, 0, 50, 100)),
        )
