"""The words between the daemon and a camera's process (docs/evidence.md) as values. Pure.

What a process says is checked here: the thread that decides trusts it. Raises KeyError, TypeError, ValueError.
"""

import json
import re
from typing import Any, Final

from agent.media_mail import CameraFile, CodesRead, FoundCode, FoundDocument, ReadCodes, Record, TakePicture

SHA256: Final = re.compile("[0-9a-f]{64}")
MEDIA_TYPE: Final = re.compile("[a-z]+/[a-z0-9.+-]{1,40}")
FORMAT: Final = re.compile("[a-z0-9]{1,20}")
ZONE: Final = {
    "layout": re.compile("td[123]|mrv[ab]"),
    "type": re.compile("[A-Z0-9]{1,2}"),
    "issuer": re.compile("[A-Z0-9<]{0,3}"),
    "number": re.compile("[A-Z0-9<]{0,30}"),
    "expires": re.compile(r"(\d{4}-\d{2}-\d{2})?", re.ASCII),
}
CHECKS: Final = {"number", "birth", "expires", "optional", "composite"}
FOUND_MAX: Final = 50

Wish = Record | TakePicture | ReadCodes


def line(words: object) -> bytes:
    return json.dumps(words).encode() + b"\n"


def wish(wanted: Wish) -> dict[str, Any]:
    """What a camera is told."""
    match wanted:
        case TakePicture(_, at_s):
            return {"picture": at_s}
        case ReadCodes(_, at_s, what, ref):
            return {"read": {"at_s": at_s, "what": [*what], "ref": ref}}
        case Record(_, from_s, until_s):
            return {"record": [from_s, until_s]}


def file(told: dict[str, Any]) -> CameraFile:
    if not (
        SHA256.fullmatch(told["sha256"])
        and SHA256.fullmatch(told["plain_sha256"])
        and MEDIA_TYPE.fullmatch(told["media_type"])
        and type(told["bytes"]) is int
        and 0 < told["bytes"] < 2**53
        and 0 <= told["from_s"] <= told["to_s"] <= told["ends_s"] < 1e9
    ):
        raise ValueError("no file is like that")
    return CameraFile(
        sha256=told["sha256"],
        plain_sha256=told["plain_sha256"],
        bytes=told["bytes"],
        media_type=told["media_type"],
        from_s=told["from_s"],
        to_s=told["to_s"],
        ends_s=told["ends_s"],
        encrypted=told.get("encrypted") == "age",
        key_frame=bool(told.get("key_frame", False)),
    )


def codes_read(camera: str, told: dict[str, Any], reason: str) -> CodesRead:
    """The answer to `ReadCodes`. reason: as others may read it."""
    at_s, codes = told["at_s"], told.get("codes", [])
    if len(codes) > FOUND_MAX or not (at_s is None or 0 <= at_s < 1e9):
        raise ValueError("no picture is like that")
    picture = file(told["file"]) if "file" in told else None
    return CodesRead(camera, str(told["ref"]), tuple(map(_found, codes)), reason, at_s, picture)


def _found(told: dict[str, Any]) -> FoundCode | FoundDocument:
    if "document" in told:
        zone = told["document"]
        if not all(pattern.fullmatch(zone[name]) for name, pattern in ZONE.items()) or not CHECKS.issuperset(
            zone["wrong"]
        ):
            raise ValueError("no document is like that")
        return FoundDocument(**{name: zone[name] for name in ZONE}, wrong=tuple(zone["wrong"]))
    code, format, confidence = told["code"], told["format"], told.get("confidence")
    if type(code) is not str or not FORMAT.fullmatch(format) or not (confidence is None or 0 <= confidence <= 1):
        raise ValueError("no code is like that")
    return FoundCode(code, format, confidence)
