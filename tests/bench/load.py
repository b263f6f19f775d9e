"""What is drained: events of about 600 bytes, as a box signs them.

A few are signed, and the rest are these under another number. Nobody on the way checks a signature, and signing 100,000
of them would take longer than the drains.
"""

from fakebox import FakeBox

BOX = "bench/box-1"
ROOT = f"callbox/1/{BOX}"
SCANS, ALARMS = f"{ROOT}/event/scan", f"{ROOT}/event/alarm"
FIRST_ALARM = 1_000_000
"""Alarms are numbered from here on, the backlog from 1."""
MODELS = 200
CODE = "https://tickets.example/v/2?gate=north&show=20261122T1930&seat=B-14-{number:03d}&check=7f3a9c51d0e24b6855e1c0d2a4f38b97"
CASE = "01a200e4-24bf-70ff-9531-985d5d9dc9f8"


def backlog(events: int) -> list[bytes]:
    """Scans, numbered 1 to `events`."""
    box = FakeBox(name=BOX)
    models = [box.event("scan.code", input="desk", code=CODE.format(number=number)) for number in range(MODELS)]
    return [_renumbered(models[seq % MODELS], seq % MODELS + 1, seq + 1) for seq in range(events)]


def alarm(number: int) -> bytes:
    """The press of this number, 0 and up."""
    return _renumbered(_PRESS, 1, FIRST_ALARM + number)


def _renumbered(event: bytes, was: int, seq: int) -> bytes:
    return event.replace(b'"boxseq":%d,' % was, b'"boxseq":%d,' % seq)


_PRESS = FakeBox(name=BOX).press(case=CASE)
