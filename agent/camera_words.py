"""The words between the daemon and a camera's process (docs/evidence.md) as values. Pure.

Raises KeyError, TypeError, ValueError where a process says what nobody understands.
"""

import json
from typing import Any

from agent.media_mail import CameraFile, CodesRead, FoundCode, FoundDocument, ReadCodes, Record, TakePicture

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
    return CameraFile(
        sha256=told["sha256"],
        plain_sha256=told["plain_sha256"],
        bytes=told["bytes"],
        media_type=told["media_type"],
        from_s=told["from_s"],
        to_s=told["to_s"],
        encrypted=told.get("encrypted") == "age",
        key_frame=bool(told.get("key_frame", False)),
    )


def codes_read(camera: str, told: dict[str, Any]) -> CodesRead:
    """The answer to `ReadCodes`."""
    at_s = told.get("at_s")
    return CodesRead(
        camera,
        str(told["ref"]),
        tuple(map(_found, told.get("codes", ()))),
        str(told.get("reason", "")),
        None if at_s is None else float(at_s),
        file(told["file"]) if "file" in told else None,
    )


def _found(told: dict[str, Any]) -> FoundCode | FoundDocument:
    if "document" in told:
        zone = told["document"]
        texts = {name: str(zone[name]) for name in ("layout", "type", "issuer", "number", "expires")}
        return FoundDocument(**texts, wrong=tuple(map(str, zone["wrong"])))
    confidence = told.get("confidence")
    return FoundCode(str(told["code"]), str(told["format"]), None if confidence is None else float(confidence))
