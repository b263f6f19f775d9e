#!/usr/bin/env python3
"""Checks an exported case: python3 verify.py FOLDER [--key BOXKEY]. Needs Python 3.11 and the package cryptography.

Written apart from what made the export, from the contract alone. Exit code 0: whole; 1: faults, each of them named.
Signed by the box is events.jsonl, event by event, with the SHA-256 of each event before and of each file in files/.
Not signed are manifest.json, index.html and the films, which were made from these: their hashes show accidents, but not
somebody who means to deceive. Take BOXKEY from the box or from whoever enrolled it: the key that comes with the export
proves only that one key signed it all. Whether events came after the last one here, nobody can tell from this.
"""

import argparse
import base64
import json
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SIGNED = ("sha256", "plain_sha256", "bytes", "media_type", "from", "to", "role", "encrypted", "key_frame")
BROKEN = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)


def number(value: float) -> str:
    """As RFC 8785 writes it (ECMAScript, Number::toString)."""
    if isinstance(value, int) or value == 0:
        return str(int(value))
    _, figures, exponent = Decimal(repr(value)).as_tuple()
    point, digits = len(figures) + int(exponent), "".join(map(str, figures)).rstrip("0")
    text = f"{digits[0]}.{digits[1:]}".rstrip(".") + f"e{point - 1:+d}"
    if -6 < point <= 21:
        shown = f"{'0' * (1 - point)}{digits}".ljust(point, "0")
        text = f"{shown[: max(point, 1)]}.{shown[max(point, 1) :]}".rstrip(".")
    return f"-{text}" if value < 0 else text


def canonical(value: Any) -> str:
    """The one form of a JSON value that is hashed and signed (RFC 8785)."""
    if isinstance(value, list):
        return f"[{','.join(map(canonical, value))}]"
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(f"{canonical(name)}:{canonical(value[name])}" for name in names) + "}"
    plain = value is None or isinstance(value, bool | str)
    return json.dumps(value, ensure_ascii=False) if plain else number(value)


def without(left_out: str, message: dict[str, Any]) -> bytes:
    return canonical({name: value for name, value in message.items() if name != left_out}).encode()


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    if b64(data := base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))) != text:
        raise ValueError(f"{text!r} is not base64url without padding")
    return data


class Check:
    """One look. faults: what is wrong and where. events: (boxseq, bytes, what it says, where, whether of the case)."""

    def __init__(self, folder: Path, key: str | None) -> None:
        self.folder, self.key, self.faults, self.manifest = folder, key, list[str](), dict[str, Any]()
        self.events: list[tuple[int, bytes, dict[str, Any], str, bool]] = []
        for step in (self.read_manifest, self.read_events, self.check_chain, self.check_files, self.check_folder):
            try:
                step()
            except (OSError, *BROKEN) as error:
                self.wrong(str(folder), f"{step.__name__} could not go on: {type(error).__name__}: {error}")

    def wrong(self, where: str, what: str) -> None:
        self.faults.append(f"{where}: {what}")

    def read_manifest(self) -> None:
        self.manifest = json.loads((self.folder / "manifest.json").read_bytes())
        if sha256(without("sha256", self.manifest)).hexdigest() != self.manifest["sha256"]:
            self.wrong("manifest.json", "changed (its own sha256)")
        for fault in self.manifest["faults"]:
            self.wrong(fault["where"], f"{fault['text']} (said by the export itself)")
        named, self.key = self.manifest["key"], self.key or self.manifest["key"]
        if not self.key or named not in (None, self.key):
            self.wrong("manifest.json", f"names the key {named}; the given one is {self.key} (--key)")

    def read_events(self) -> None:
        data = (self.folder / "events.jsonl").read_bytes()
        if {"sha256": sha256(data).hexdigest(), "count": data.count(b"\n")} != self.manifest.get("events"):
            self.wrong("events.jsonl", "is not the file of the manifest (sha256, count)")
        for at, body in enumerate(data.removesuffix(b"\n").split(b"\n"), 1):
            where = f"events.jsonl, line {at}"
            try:
                event = json.loads(body)
                where += f" (boxseq {event['boxseq']}, {event['type']}, id {event['id']})"
                mine = self.manifest["case"] in (event["id"], event["data"].get("case"), event["data"].get("alarm"))
                self.events.append((int(event["boxseq"]), body, event, where, mine))
                if canonical(event).encode() != body or event["source"] != self.manifest.get("source"):
                    self.wrong(where, "changed (not canonical), or an event of another box (source)")
                if self.key:
                    public = Ed25519PublicKey.from_public_bytes(unb64(self.key))
                    public.verify(unb64(event["sig"]), without("sig", event))
            except InvalidSignature:
                self.wrong(where, "changed, or signed by another key (signature)")
            except BROKEN as error:
                self.wrong(where, f"is no event ({type(error).__name__}: {error})")

    def check_chain(self) -> None:
        """From the event before the case's first one to its last one all are there, or what is not is proven gone."""
        events = [event for _, _, event, _, _ in self.events]
        if self.manifest["case"] not in [event["id"] for event in events]:
            self.wrong("events.jsonl", f"the first event of the case is not in it (id {self.manifest['case']})")
        holes = [hole for event in events if event["type"] == "callbox.audit.pruned" for hole in event["data"]["holes"]]
        for journal in dict.fromkeys(event["journal"] for event in events):
            run = [entry for entry in self.events if entry[2]["journal"] == journal]
            mine = [seq for seq, *_, of_case in run if of_case] or [0]
            before, digest = max(min(mine) - 2, 0), ""
            for seq, body, event, where, _ in run:
                if seq > max(mine) + 1:
                    if event["type"] != "callbox.audit.pruned":  # such a one is here for the holes that it names
                        self.wrong(where, "is neither of the case nor beside it (boxseq)")
                elif seq <= before:
                    self.wrong(where, f"stands behind boxseq {before}: out of order, or twice (boxseq)")
                elif seq == before + 1:
                    if event["prevhash"] != ("A" * 43 if seq == 1 else digest or event["prevhash"]):
                        self.wrong(where, "does not join the event before it (prevhash)")
                elif not any(hole[0] <= before + 1 and hole[1:] == [seq - 1, event["prevhash"]] for hole in holes):
                    self.wrong(where, f"boxseq {before + 1} to {seq - 1}, before it, are missing (boxseq)")
                before, digest = max(before, seq), b64(sha256(body).digest())

    def check_files(self) -> None:
        """Each file that an event names is in the manifest, as it was signed, and in the folder; and no other is."""
        signed: dict[tuple[str, str], list[dict[str, Any]]] = {}
        last: dict[str, tuple[str, int, bool]] = {}
        for seq, _, event, where, mine in self.events:
            if event["type"] != "callbox.status.evidence" or not mine:
                continue
            data, place = event["data"], {"event": event["id"], "journal": event["journal"], "boxseq": seq}
            try:
                newest = event["time"], seq, data.get("last") is True
                last[data["camera"]] = max(newest, last.get(data["camera"], newest))
                for file in data["files"]:
                    signed.setdefault((data["camera"], file["sha256"]), []).append({**file, **place})
            except BROKEN as error:
                self.wrong(where, f"names files in a form that is not known ({type(error).__name__}: {error})")
        for camera in (camera for camera, (*_, ended) in last.items() if not ended):
            self.wrong(f"camera {camera}", 'its newest event has no "last": files are still to come, or were left out')
        for entry in self.manifest["files"]:
            where = f"{entry.get('name') or entry['state']} (camera {entry['camera']}, event {entry['event']})"
            events = signed.pop((entry["camera"], entry["sha256"]), [])
            if not any(
                all(entry.get(name) == event.get(name) for name in (*SIGNED, "event", "journal", "boxseq"))
                for event in events
            ):
                self.wrong("manifest.json", f"{where}: no event says this of it, or it stands here twice")
            elif entry["state"] != "ok" or "problem" in entry:
                text = entry.get("problem", {}).get("text", f"is {entry['state']}")
                self.wrong(where, f"sha256 {entry['sha256']}: {text} (said by the export itself)")
            if name := entry["name"] if entry["state"] == "ok" else entry.get("stored"):
                digests = {"ok": entry["plain_sha256"], "sealed": entry["sha256"]}
                self.same(name, digests.get(entry["state"], ""), where)
        for camera, digest in signed:
            self.wrong("manifest.json", f"a file of an event is not in it (camera {camera}, sha256 {digest})")

    def same(self, name: str, digest: str, where: str) -> None:
        """digest: "" for a file of which only is known that it is damaged."""
        if not (self.folder / name).is_file():
            self.wrong(where, f"{name} is not there")
        elif digest and sha256((self.folder / name).read_bytes()).hexdigest() != digest:
            self.wrong(where, f"{name} was changed; where in it, nobody can tell (sha256)")

    def check_folder(self) -> None:
        known = {"manifest.json", "events.jsonl", *self.manifest["made"]}
        known |= {entry.get(place) for entry in self.manifest["files"] for place in ("name", "stored")}
        for name, digest in self.manifest["made"].items():
            self.same(name, digest, "made by the export")
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and (name := path.relative_to(self.folder).as_posix()) not in known:
                self.wrong(name, "is named nowhere in the manifest")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Checks an exported case.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--key", help="the box's public key, base64url")
    args = parser.parse_args(argv)
    check = Check(args.folder, args.key)
    whose = "the given key" if args.key else f"the key that the export names, {check.key}: compare it with the box's"
    verdict = f"NOT WHOLE, faults: {len(check.faults)}" if check.faults else "WHOLE"
    counts = f"{len(check.events)} events, {len(check.manifest.get('files', []))} files"
    print(*(f"FAULT  {fault}" for fault in check.faults), f"{verdict}. {counts}; {whose}.", sep="\n")
    return int(bool(check.faults))


if __name__ == "__main__":
    raise SystemExit(main())
