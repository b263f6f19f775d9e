"""Files of evidence that go by HTTPS PUT: to which address, how often, and when one pauses. Pure.

    receipt: an address -> the file's turn -> PUT (agent/put.py) -> central reads it there -> receipt: it has it

Used by `agent/uploads.py`. A file without an address, or with which PUT has not worked, goes in pieces.
"""

import random
import re
from collections.abc import Mapping, Sequence
from typing import Final

from agent.load import Load
from agent.mail import Action, Say
from agent.media_mail import HoldPut, PutDone, PutFile

ADDRESSES_MAX: Final = 500
"""At most 2 KB each; the oldest goes first, and its file in pieces."""
PUTS_MAX: Final = 3
"""Times that a file is sent so, and failures in a row after which no address is used that is known by then."""
RETRY_S: Final = 5.0
"""After a first failure; twice as long after a second one; and as little as half of it, so that a fleet spreads out."""
DOTS: Final = re.compile(r"/(\.|%2e){1,2}(/|$)", re.IGNORECASE)
"""A step up in a path, by which a server would leave the folder that the config allows."""


class Puts:
    """What is known of addresses, and the one PUT under way."""

    def __init__(self, allowed: Sequence[str], rng: random.Random, out: list[Action]) -> None:
        """allowed: how addresses may begin."""
        self.running = ""
        """SHA-256 of the file under way, "" for none."""
        self.held = False
        self.after_s = 0.0
        """No PUT before this monotonic second."""
        self._allowed, self._rng, self._out = tuple(allowed), rng, out
        self._addresses: dict[str, str] = {}
        self._failures = 0
        self._said: set[str] = set()

    def named(self, put: Mapping[str, str], refused: str) -> None:
        """Central's word; the last one counts. refused: why some of it cannot be read."""
        self._say_once(refused)
        for name, address in put.items():
            if not self._allowed:
                self._say_once("the config allows none; evidence.put would name how they begin")
            elif not address.startswith(self._allowed) or DOTS.search(address.partition("?")[0]):
                self._say_once(f"one is outside of evidence.put, which allows {', '.join(self._allowed)}")
            else:
                self._addresses.pop(name, None)
                self._addresses[name] = address
        while len(self._addresses) > ADDRESSES_MAX:
            del self._addresses[next(iter(self._addresses))]

    def _say_once(self, reason: str) -> None:
        if reason and reason not in self._said:
            self._said.add(reason)
            self._out.append(Say("warning", f"receipt: addresses for PUT are left out: {reason}"))

    def takes(self, load: Load) -> bool:
        """Whether this file goes by PUT."""
        return load.file.sha256 in self._addresses and load.puts < PUTS_MAX

    def ready(self, load: Load, now_s: float) -> bool:
        """Whether this file may go now, in the one way or the other."""
        return load.file.sha256 != self.running and not (now_s < self.after_s and self.takes(load))

    def begin(self, load: Load) -> None:
        """It goes, from its start."""
        load.puts, load.sent = load.puts + 1, load.stored
        self.running, self.held = load.file.sha256, False
        self._out.append(PutFile(self.running, self._addresses[self.running]))

    def hold(self, held: bool) -> None:
        """Something else comes first, or no more."""
        if self.running and held != self.held:
            self.held = held
            self._out.append(HoldPut(held))

    def ended(self, message: PutDone, load: Load | None, now_s: float) -> None:
        """load: the file, if it is owed still. A PUT that went well says nothing of whether central has it."""
        self.running, self.held = "", False
        if load is not None:
            load.put_reason = message.reason or "central does not say that it has it"
        if not message.reason:
            self._failures = 0
        elif message.expired or message.gone:
            self._addresses.pop(message.sha256, None)
        else:
            self._failed(message.reason, load, now_s)

    def _failed(self, reason: str, load: Load | None, now_s: float) -> None:
        self._failures += 1
        if self._failures < PUTS_MAX:
            self.after_s = now_s + RETRY_S * 2 ** (self._failures - 1) * self._rng.uniform(0.5, 1.0)
            return
        self._failures = 0
        self._addresses.clear()
        text = f"{PUTS_MAX} PUTs in a row failed, the last one: {reason}; evidence goes in pieces over MQTT"
        self._out.append(Say("warning", f"{text} until central names new addresses"))
        if load is not None:
            load.put_reason = ""

    def in_pieces(self, load: Load) -> None:
        """A piece of it goes: said once, where PUT has not worked."""
        if load.put_reason:
            text = f"evidence {load.file.sha256[:16]}: it goes in pieces after {load.puts} PUTs: {load.put_reason}"
            self._out.append(Say("warning", text))
            load.put_reason = ""
