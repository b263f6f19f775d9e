"""What people did in the simulated world, and what must have become of it in the end."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from world_wire import ViolationError

SAFE_S: Final = 12.0
"""What was seen so long before the end of a life is on the disk, alone or in a sum, or the disk had failed."""
BUTTONS: Final = ("alarm-1", "fire-1", "counter", "door", "mains")
"""Inputs whose every press is one raised event, or part of a sum of chatter."""


@dataclass
class Ledger:
    """Presses, codes and commands, and the lives of the box in which they happened.

    presses: (life, boot, input, monotonic second, virtual second from which it is overdue). codes: (life, code, that).
    lives: when each ended, and whether its journal had failed. commands: whether each may be done.
    """

    presses: list[tuple[int, str, str, float, float]] = field(default_factory=list)
    codes: list[tuple[int, str, float]] = field(default_factory=list)
    lives: dict[int, tuple[float, bool]] = field(default_factory=dict)
    commands: dict[str, bool] = field(default_factory=dict)

    def _must_be_told(self, life: int, overdue_s: float) -> bool:
        """Whether what was seen in a life must have been recorded in it."""
        ended_s, failed = self.lives[life]
        return ended_s > overdue_s and not failed

    def check(self, events: Iterable[Mapping[str, Any]], done: Mapping[str, int], seen: Counter[str]) -> None:
        """Presses and codes have one event each, commands are done at most once. events: all that was ever recorded."""
        raised, codes, merged = Counter[tuple[str, str, float]](), Counter[str](), Counter[str]()
        for event in events:
            data = event["data"]
            codes[data.get("code", "")] += 1
            if data.get("transition") != "raised" or event["subject"] not in BUTTONS or "count" not in data:
                continue
            if data.get("merged"):
                merged[event["subject"]] += data["changes"]
            else:
                raised[event["boot"], event["subject"], data["monotonic_s"]] += 1
        seen["presses recorded"] += len(raised) + sum(merged.values())
        seen["presses merged"] += sum(merged.values())
        self._check_presses(raised, merged)
        for life, code, overdue_s in self.codes:
            if codes[code] > 1 or (not codes[code] and self._must_be_told(life, overdue_s)):
                raise ViolationError(f"code {code} was recorded {codes[code]} times")
        seen["commands done"] += len(done)
        for name, count in done.items():
            if count > 1 or not self.commands[name]:
                raise ViolationError(f"command {name} was done {count} times; it may be: {self.commands[name]}")

    def _check_presses(self, raised: Counter[tuple[str, str, float]], merged: Counter[str]) -> None:
        alone, missing = Counter[str](), Counter[str]()
        for life, boot, name, mono_s, overdue_s in self.presses:
            count = raised.pop((boot, name, mono_s), 0)
            if count > 1:
                raise ViolationError(f"press of {name} at {mono_s} of boot {boot} was recorded {count} times")
            alone[name] += count
            missing[name] += not count and self._must_be_told(life, overdue_s)
        if raised:
            raise ViolationError(f"nobody pressed {list(raised)}")
        if lost := missing - merged:
            raise ViolationError(f"presses without an event: {dict(lost)}")
        made = Counter(name for _, _, name, _, _ in self.presses)
        if not any(failed for _, failed in self.lives.values()) and (more := alone + merged - made):
            raise ViolationError(f"sums tell of presses that nobody did: {dict(more)}")
