"""What central says: receipts and commands, checked before anybody acts on them. Pure.

Nothing here is trusted: bytes from a broker that somebody else may own.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from agent.identity import signed_by
from agent.ranges import Range

PAYLOAD_BYTES_MAX: Final = 65_536
RANGES_MAX: Final = 10_000
RESEND_RANGES_MAX: Final = 1_000
"""They stand in the event that the command leaves, and that is at most 64 KB."""
NOTE_CHARS_MAX: Final = 1_000
OPERATOR_PREFIX: Final = "/operators/"
SEQ: Final = re.compile("[1-9][0-9]{0,15}")
ADDRESS: Final = re.compile(r"https?://[\w.~:\[\]-]+/[\w\-.~:/?\[\]@!$&'()*+,;=%]*", re.ASCII)
"""Of RFC 3986, section 2: no user information, no fragment, no space, nothing that controls a terminal or a header."""
ADDRESS_CHARS_MAX: Final = 2_000
SHA256: Final = re.compile("[0-9a-f]{64}")
VERB_PREFIX: Final = "callbox.command."
DONE_HERE: Final = ("acknowledge", "close", "resend", "test", "capture", "output", "list")
"""Verbs that this version does; the others are refused with that reason."""


class Operator(Protocol):
    """Who may command: as in the config."""

    @property
    def name(self) -> str: ...
    @property
    def key(self) -> bytes: ...
    @property
    def may(self) -> tuple[str, ...]: ...


class RefusedError(Exception):
    """What central said is not done, for `reason`; of a command what could be read of it."""

    def __init__(self, reason: str, *, id: str = "", verb: str = "", by: str = "") -> None:
        super().__init__(reason)
        self.reason, self.id, self.verb, self.by = reason, id, verb, by


@dataclass(frozen=True, slots=True)
class Receipt:
    """What central has stored of one journal."""

    journal: str
    through: int
    also: tuple[Range, ...]
    refused: Mapping[int, str]
    batch: int | None
    media: Mapping[str, int]
    put: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Addresses for files; what of them cannot be right is left out, and `put_refused` says why."""
    put_refused: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """A command that may be done. expires_s: wall seconds after which its id may be forgotten."""

    id: str
    verb: str
    by: str
    expires_s: float
    data: Mapping[str, Any]


def parse(payload: bytes, retained: bool) -> dict[str, Any]:
    """One JSON object from a broker. Raises RefusedError."""
    if retained:
        raise RefusedError("retained: it may be old; nothing but `state` is ever retained")
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise RefusedError(f"too many bytes; at most {PAYLOAD_BYTES_MAX} are read")
    try:
        message = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"not JSON ({error})") from None
    if not isinstance(message, dict):
        raise RefusedError(f"JSON {type(message).__name__}; an object is wanted")
    return message


def clean(text: str) -> str:
    """Text that every JSON writer takes: a lone surrogate becomes a question mark."""
    return text.encode("utf-8", "replace").decode()


def _natural(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _is_address(value: object) -> bool:
    return isinstance(value, str) and len(value) <= ADDRESS_CHARS_MAX and ADDRESS.fullmatch(value) is not None


def ranges(value: object, most: int) -> tuple[Range, ...]:
    """[[first, last], ...] as pairs. Raises ValueError."""
    if not isinstance(value, list) or len(value) > most:
        raise ValueError(f"ranges: a list of at most {most} pairs is wanted")
    for pair in value:
        if not (isinstance(pair, list) and len(pair) == 2 and all(map(_natural, pair)) and 1 <= pair[0] <= pair[1]):
            raise ValueError(f"range {str(pair)[:80]}: [first, last] with 1 <= first <= last is wanted")
    return tuple((first, last) for first, last in value)


def read_receipt(payload: bytes, retained: bool, central_key: bytes | None) -> Receipt:
    """A receipt, signed by central where the config has its key. Raises RefusedError."""
    message = parse(payload, retained)
    if central_key is not None and not signed_by(central_key, message):
        raise RefusedError(
            "the signature is missing or not central's" if "sig" not in message else "the signature is not central's"
        )
    journal, through, batch = message.get("journal"), message.get("through", 0), message.get("batch")
    refused = message.get("refused", {})
    if not isinstance(journal, str) or not _natural(through):
        raise RefusedError("`journal` (text) and `through` (a boxseq) are wanted")
    if not isinstance(refused, dict) or not all(
        SEQ.fullmatch(seq) and isinstance(reason, str) for seq, reason in refused.items()
    ):
        raise RefusedError("`refused` must map a boxseq to a reason")
    media = message.get("media", {})
    if not isinstance(media, dict) or not all(SHA256.fullmatch(name) and _natural(n) for name, n in media.items()):
        raise RefusedError("`media` must map the SHA-256 of a file, 64 hex digits, to a number of bytes")
    named = message.get("put", {})
    named = named if isinstance(named, dict) else {"": named}
    put = {name: address for name, address in named.items() if SHA256.fullmatch(name) and _is_address(address)}
    try:
        also = ranges(message.get("also", []), RANGES_MAX)
    except ValueError as error:
        raise RefusedError(f"also: {error}") from None
    return Receipt(
        journal,
        through,
        also,
        {int(seq): clean(reason[:NOTE_CHARS_MAX]) for seq, reason in refused.items()},
        batch if _natural(batch) else None,
        media,
        put,
        ""
        if len(put) == len(named)
        else "each is https://HOST/..., of a file by its SHA-256, 64 hex digits, without user"
        f" or fragment, and has at most {ADDRESS_CHARS_MAX} characters",
    )


class Commands:
    """Checks commands for one box: key, signature, verb, expiry, repetition, addressee."""

    def __init__(self, box: str, operators: tuple[Operator, ...], seen: Mapping[str, float]) -> None:
        """box: `{site}/{box}`. seen: ids of earlier commands and the wall second after which they may be forgotten."""
        self._box = box
        self._operators = {operator.name: operator for operator in operators}
        self._seen = dict(seen)

    def read(self, payload: bytes, retained: bool, wall_s: float) -> Command:
        """A command that may be done now, once: from here on its id is seen. Raises RefusedError."""
        message = parse(payload, retained)
        id, source, type = (clean(str(message.get(name, ""))[:200]) for name in ("id", "source", "type"))
        verb = type.removeprefix(VERB_PREFIX)

        def refuse(reason: str) -> RefusedError:
            return RefusedError(reason, id=id, verb=verb, by=source)

        operator = (
            self._operators.get(source.removeprefix(OPERATOR_PREFIX)) if source.startswith(OPERATOR_PREFIX) else None
        )
        if operator is None:
            raise refuse("unknown operator: the config of this box does not name it")
        if not signed_by(operator.key, message):
            raise refuse("the signature is not this operator's")
        if message.get("subject") != self._box:
            raise refuse(f"for {clean(str(message.get('subject'))[:80])}, not for this box")
        if not id or type == verb:
            raise refuse(f"`id` and a `type` that begins with {VERB_PREFIX} are wanted")
        try:
            expires = datetime.fromisoformat(message["expires"])
            expires_s = expires.timestamp()
        except (KeyError, TypeError, ValueError, OverflowError):
            raise refuse("`expires` (RFC 3339) is missing or cannot be read") from None
        if expires.tzinfo is None:
            raise refuse("`expires` has no time zone")
        if expires_s < wall_s:
            raise refuse(f"expired {wall_s - expires_s:.0f} s ago by this box's clock")
        if id in self._seen:
            raise refuse("already seen: a command is done once")
        if verb not in operator.may:
            raise refuse(f"{operator.name} may not {verb}; it may {', '.join(operator.may) or 'nothing'}")
        if verb not in DONE_HERE:
            raise refuse(f"this version does not do {verb}; it does {', '.join(DONE_HERE)}")
        data = message.get("data")
        if not isinstance(data, dict):
            raise refuse("`data` must be an object")
        self._seen = {seen: after for seen, after in self._seen.items() if after >= wall_s} | {id: expires_s}
        return Command(id, verb, source, expires_s, data)
