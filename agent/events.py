"""Events: made, chained, signed and serialised once, when they are recorded.

The bytes of an event never change afterwards: the signed, the stored and the sent bytes are the same (contract,
section 2). Pure: time, identity and randomness are handed in.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final, NamedTuple

from agent.canonical import canonical
from agent.identity import Signer, b64
from agent.kinds import CID, CID_TEST_WITH_TROUBLE, EventClass, class_of
from agent.messages import UnsignedEvent
from agent.models import ClockSource, EventData, Sealed

ZERO_HASH: Final = bytes(32)
EVENT_BYTES_MAX: Final = 65_536
TYPE_PREFIX: Final = "callbox."
UNSIGNED: Final = b'"sig":"",'
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Stamp(NamedTuple):
    """One moment by both clocks: seconds since boot, microseconds since 1970 UTC, whether to trust it, its source."""

    mono_s: float
    wall_us: int
    synced: bool = True
    source: ClockSource = "system"


class Event(NamedTuple):
    """A sealed event: its place in the journal, its class, and the bytes that are stored and sent."""

    seq: int
    cls: EventClass
    body: bytes

    @property
    def id(self) -> str:
        """The one in its bytes; "" where these were damaged."""
        try:
            return str(json.loads(self.body)["id"])
        except (ValueError, KeyError, TypeError):
            return ""


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be recorded, before it has a place in the chain. `type` without `callbox.`; boot: another run's."""

    id: str
    type: str
    subject: str
    at: Stamp
    data: EventData
    boot: str = ""


def uuid7(wall_us: int, random: int) -> str:
    """A UUID of version 7 (RFC 9562): 48 bits of milliseconds, 74 random bits out of `random`."""
    high = (wall_us // 1000 & (1 << 48) - 1) << 16 | 0x7000 | random >> 62 & 0xFFF
    low = random & (1 << 62) - 1 | 0b10 << 62
    text = f"{high:016x}{low:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def rfc3339(wall_us: int) -> str:
    """`2026-11-22T01:33:20.123456Z`: UTC with microseconds."""
    return (_EPOCH + timedelta(microseconds=wall_us)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def redraft(event: Event) -> Draft:
    """What an event was sealed from: for another journal, under the same id."""
    sealed = json.loads(event.body)
    monotonic_s = sealed["data"].pop("monotonic_s")
    sealed["data"].pop("cid", None)
    wall_us = (datetime.fromisoformat(sealed["time"]) - _EPOCH) // timedelta(microseconds=1)
    at = Stamp(monotonic_s, wall_us, sealed["timequality"] == "synced")
    return Draft(
        sealed["id"], sealed["type"].removeprefix(TYPE_PREFIX), sealed["subject"], at, sealed["data"], sealed["boot"]
    )


class Chain:
    """Where the next event joins: the journal's name, the last boxseq and the hash of the last event's bytes."""

    def __init__(
        self, source: str, journal: str, boot: str, signer: Signer, seq: int = 0, prevhash: bytes = ZERO_HASH
    ) -> None:
        self.source, self.journal, self.boot = source, journal, boot
        self.seq, self.prevhash = seq, prevhash
        self._signer = signer

    def seal(self, draft: Draft) -> Event:
        """Gives a draft its boxseq, its place in the chain and its signature. Raises ValueError past 64 KB."""
        sealed: Sealed = {"monotonic_s": round(draft.at.mono_s, 6)}
        cid = CID_TEST_WITH_TROUBLE if draft.type == "status.test" and "trouble" in draft.data else CID.get(draft.type)
        if cid is not None:
            sealed["cid"] = cid
        unsigned: UnsignedEvent = {
            "specversion": "1.0",
            "id": draft.id,
            "source": self.source,
            "type": TYPE_PREFIX + draft.type,
            "subject": draft.subject,
            "time": rfc3339(draft.at.wall_us),
            "datacontenttype": "application/json",
            "journal": self.journal,
            "boxseq": self.seq + 1,
            "boot": draft.boot or self.boot,
            "timequality": "synced" if draft.at.synced else "unsynced",
            "prevhash": b64(self.prevhash),
            "data": {**draft.data, **sealed},
        }
        # Written once, with an empty signature. Keys are sorted, and behind its place stand strings alone, in which
        # no quotation mark goes unescaped: so the last of these bytes are that place.
        head, _, tail = canonical({**unsigned, "sig": ""}).rpartition(UNSIGNED)
        sig = b64(self._signer.sign(head + tail))
        body = head + b'"sig":"' + sig.encode() + b'",' + tail
        if len(body) > EVENT_BYTES_MAX:
            raise ValueError(
                f"{draft.type} of {draft.subject}: {len(body)} bytes; an event is at most {EVENT_BYTES_MAX}"
            )
        self.seq += 1
        self.prevhash = sha256(body).digest()
        return Event(self.seq, class_of(draft.type), body)
