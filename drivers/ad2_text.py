r"""The lines of an AlarmDecoder AD2USB, AD2PI or AD2SERIAL as values. Pure.

    [1000000100000000----],008,[f70600ff1008001c08020000000000],"****DISARMED****  Ready to Arm  "   a keypad's display
    !RFX:0123456,80                 a radio sensor: its serial number, its bits
    !EXP:07,01,01   !REL:12,01,00   a zone expander or relay board: address, channel, value
    !LRR:012,1,CID_1441,ff          a report to the long range radio: zone or user, partition, Contact ID
    !LRR:008,1,ALARM_PANIC          the same of firmware before 2.2a.8.6
    !boot  !Ready                   it begins anew

Source: the protocol page of the AlarmDecoder wiki.
"""

import re
from typing import Final, Literal, NamedTuple

LOW_BATTERY, SUPERVISION = 0x02, 0x04
LOOPS: Final = {1: 0x80, 2: 0x20, 3: 0x10, 4: 0x40}
"""Bits in the value of an RFX message, by loop."""

_KEYPAD: Final = re.compile(
    rb'(?:!KPM:)?\[([0-9A-Fa-f-]{20})\],([0-9A-Fa-f]{3}),\[[0-9A-Fa-f]{16,60}\],"([ -~]{0,80})"'
)
_RF: Final = re.compile(rb"!RFX:([0-9]{7}),([0-9A-Fa-f]{2})")
_BOARD: Final = re.compile(rb"!(EXP|REL):([0-9]{1,2}),([0-9]{1,2}),([0-9]{1,2})")
_CID: Final = re.compile(rb"!LRR:([0-9A-Fa-f]{1,3}),([0-9]),CID_([136])([0-9A-Fa-f]{3}),([0-9A-Fa-f]{2})")
_NAMED: Final = re.compile(rb"!LRR:([0-9A-Fa-f]{1,3}),([0-9]),([A-Z_]{1,30})")
_BEGINS: Final = re.compile(rb"!boot|!Ready")
_OTHER: Final = re.compile(rb"!(VER|CONFIG|Sending|AUI|KPE|LRR|load|>)")
"""Whole lines of the device that tell nothing of an input."""
_ZONE: Final = re.compile(r"(FAULT|ALARM|FIRE|CHECK)(?: +([0-9]{1,3}))?\b")

NAMED: Final = {
    "ALARM_AUX": (150, "1"),
    "ALARM_FIRE": (110, "1"),
    "ALARM_PANIC": (120, "1"),
    "ALARM_SILENT": (122, "1"),
    "ALARM_AUDIBLE": (123, "1"),
    "ALARM_PERIMETER": (131, "1"),
    "ALARM_ENTRY": (134, "1"),
    "TROUBLE": (300, "1"),
    "TROUBLE_RESTORE": (300, "3"),
    "ACLOSS": (301, "1"),
    "AC_RESTORE": (301, "3"),
    "LOWBAT": (302, "1"),
    "LOWBAT_RESTORE": (302, "3"),
    "RFLOWBAT": (384, "1"),
    "RFLOWBAT_RESTORE": (384, "3"),
    "CANCEL": (406, "1"),
}
"""Contact ID event and qualifier of the names that old firmware has."""

Bit = Literal["alarm", "fire", "ac", "battery", "check"]
ZoneState = Literal["fault", "check"]


class Keypad(NamedTuple):
    """A display. alarm: it sounds now. memory: there was one. ac: mains are there. check: a zone needs attention."""

    ready: bool
    ac: bool
    memory: bool
    alarm: bool
    battery: bool
    fire: bool
    check: bool
    number: str
    text: str

    def bit(self, name: Bit) -> bool:
        """Whether what the name says is wrong: `ac` means that mains are out."""
        found: bool = getattr(self, name)
        return not found if name == "ac" else found

    def zone(self) -> tuple[int, ZoneState] | None:
        """The zone that is shown, and as what; an alarm that is only remembered is none."""
        found = _ZONE.match(self.text)
        if not found or (found[1] in ("ALARM", "FIRE") and not (self.alarm or self.fire)):
            return None
        number = found[2] or self.number
        return (int(number), "check" if found[1] == "CHECK" else "fault") if number.isdecimal() else None


class Rf(NamedTuple):
    """What a radio sensor sent: at a change, or (supervision) to say that it is there."""

    serial: str
    value: int

    def loop(self, number: int) -> bool:
        return bool(self.value & LOOPS[number])

    @property
    def battery(self) -> bool:
        return bool(self.value & LOW_BATTERY)

    @property
    def supervision(self) -> bool:
        return bool(self.value & SUPERVISION)


class Board(NamedTuple):
    """A channel of an expander (value 0 idle, 1 fault, 2 trouble of its wire) or of a relay board (0 off, 1 on)."""

    kind: Literal["expander", "relay"]
    address: int
    channel: int
    value: int


class Lrr(NamedTuple):
    """A report. qualifier: 1 new or opened, 3 restored or closed, 6 still present. zone: or user."""

    event: int
    qualifier: str
    zone: int
    partition: int


class Begins(NamedTuple):
    """The device has begun anew: what it said before is no more."""


class Other(NamedTuple):
    """Something that is well and tells nothing of an input."""


Message = Keypad | Rf | Board | Lrr | Begins | Other


def read(line: bytes) -> Message | None:
    """One line, without its end; None where it makes no sense."""
    line = line.lstrip(b"\0")
    if found := _KEYPAD.fullmatch(line):
        bits, number, text = (part.decode() for part in found.groups())
        on = [bit == "1" for bit in bits]
        return Keypad(on[0], on[7], on[9], on[10], on[11], on[13], on[14], number, text)
    if found := _RF.fullmatch(line):
        return Rf(found[1].decode(), int(found[2], 16))
    if found := _BOARD.fullmatch(line):
        return Board("expander" if found[1] == b"EXP" else "relay", int(found[2]), int(found[3]), int(found[4]))
    if found := _CID.fullmatch(line):
        zone, partition, qualifier, event, override = (part.decode() for part in found.groups())
        if override.lower() not in ("00", "ff"):
            event = event[0] + override
        return Lrr(int(event), qualifier, int(zone), int(partition)) if (event + zone).isdecimal() else Other()
    if found := _NAMED.fullmatch(line):
        name, zone = found[3].decode(), found[1].decode()
        return Lrr(*NAMED[name], int(zone), int(found[2])) if name in NAMED and zone.isdecimal() else Other()
    if _BEGINS.match(line):
        return Begins()
    return Other() if _OTHER.match(line) else None
