"""How a running daemon fares, seen from outside: memory, threads, open files, processor time, its answers."""

import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Self

from real_box import DEADLINE_S, RealBox

EVERY_S = 1.0
QUARTERS = 4


@dataclass(frozen=True, slots=True)
class Sample:
    """From one look (proc(5)), which took from `at_s` to `end_s`, monotonic. peak_kb: the most memory of this life.

    answered: what `callbox status` asks was answered.
    """

    life: int
    at_s: float
    end_s: float
    rss_kb: int
    peak_kb: int
    threads: int
    files: int
    cpu_s: float
    answered: bool


class Vitals:
    """Looks once a second. life: counted up by who starts the daemon, for each start and each reload."""

    def __init__(self, box: RealBox) -> None:
        self.life = 0
        self.samples: list[Sample] = []
        self._box, self._done = box, threading.Event()
        self._thread = threading.Thread(target=self._watch, name="vitals", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(DEADLINE_S)

    def _watch(self) -> None:
        while not self._done.wait(EVERY_S):
            life, at_s = self.life, time.monotonic()
            try:
                lines = Path(f"/proc/{self._box.pid}/status").read_text().splitlines()
                told = dict(line.split(":", 1) for line in lines)
                rss, peak, threads = (int(told[name].split()[0]) for name in ("VmRSS", "VmHWM", "Threads"))
                files, cpu_s = len(os.listdir(f"/proc/{self._box.pid}/fd")), self._box.cpu_s  # noqa: PTH208
            except (OSError, KeyError, AssertionError):
                continue  # there is no daemon in this moment
            answered = bool(self._box.status())
            if life == self.life:
                end_s = time.monotonic()
                self.samples.append(Sample(life, at_s, end_s, rss, peak, threads, files, cpu_s, answered))

    def of(self, life: int) -> list[Sample]:
        return [sample for sample in self.samples if sample.life == life]

    @property
    def longest_life(self) -> list[Sample]:
        """The samples of that life."""
        return max((self.of(life) for life in {sample.life for sample in self.samples}), key=len, default=[])


def quarters_kb(samples: list[Sample]) -> list[int]:
    """The median of the memory in each quarter of these."""
    size = max(1, len(samples) // QUARTERS)
    return [int(median(s.rss_kb for s in samples[at * size : (at + 1) * size])) for at in range(QUARTERS)]


def busiest(samples: Iterable[Sample], seconds: float) -> float:
    """The part of a processor that it took in the worst stretch of about so many seconds of one life."""
    worst, began = 0.0, None
    for before, now in pairwise(samples):
        began = began if began is not None and before.life == now.life == began.life else before
        if now.life == began.life and now.at_s - began.at_s >= seconds:
            worst, began = max(worst, (now.cpu_s - began.cpu_s) / (now.at_s - began.at_s)), now
    return worst
