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
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SIGNED = ("sha256", "plain_sha256", "bytes", "media_type", "from", "to", "role", "encrypted", "key_frame")
PRUNED, EVIDENCE = "callbox.audit.pruned", "callbox.status.evidence"
BROKEN = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)


def number(value: float) -> str:
    """As RFC 8785 writes it (ECMAScript, Number::toString)."""
    if isinstance(value, int):
        return str(value)
    mantissa, _, exponent = f"{value!r}".lstrip("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - len(whole + fraction) + len(digits)
    if not (digits := digits.rstrip("0")):
        return "0"
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


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Check:
    """One look at a folder. faults: what is wrong and where, in words."""

    def __init__(self, folder: Path, key: str | None) -> None:
        self.folder, self.key, self.faults = folder, key, list[str]()
        self.manifest: dict[str, Any] = {}
        self.events: list[tuple[str, int, bytes, dict[str, Any], str]] = []
        for step in (self.read_manifest, self.read_events, self.check_chain, self.check_files, self.check_folder):
            try:
                step()
            except (OSError, *BROKEN) as error:
                self.wrong(str(folder), f"{step.__name__} could not go on: {type(error).__name__}: {error}")

    def wrong(self, where: str, what: str) -> None:
        self.faults.append(f"{where}: {what}")

    def read_manifest(self) -> None:
        self.manifest = json.loads((self.folder / "manifest.json").read_bytes())
        if sha256(without("sha256", self.manifest)) != self.manifest["sha256"]:
            self.wrong("manifest.json", "changed (its own sha256)")
        for fault in self.manifest["faults"]:
            self.wrong(fault["where"], f"{fault['text']} (said by the export itself)")
        if self.key and self.manifest["key"] not in (None, self.key):
            self.wrong("manifest.json", f"names the key {self.manifest['key']}, not the given one")
        self.key = self.key or self.manifest["key"]
        if not self.key:
            self.wrong("manifest.json", "names no key, so that no signature can be checked: use --key")

    def read_events(self) -> None:
        data = (self.folder / "events.jsonl").read_bytes()
        named = self.manifest.get("events", {})
        *lines, rest = data.split(b"\n")
        if (sha256(data), len(lines), rest) != (named.get("sha256"), named.get("count"), b""):
            self.wrong("events.jsonl", f"is not the file of the manifest (sha256, {named.get('count')} lines)")
        for at, body in enumerate(lines, 1):
            where = f"events.jsonl, line {at}"
            try:
                event = json.loads(body)
                where += f" (boxseq {event['boxseq']}, {event['type']}, id {event['id']})"
                self.events.append((str(event["journal"]), int(event["boxseq"]), body, event, where))
                if canonical(event).encode() != body or event["source"] != self.manifest.get("source"):
                    self.wrong(where, "changed (not canonical), or an event of another box (source)")
                if self.key:
                    public = Ed25519PublicKey.from_public_bytes(unb64(self.key))
                    public.verify(unb64(event["sig"]), without("sig", event))
            except InvalidSignature:
                self.wrong(where, "changed, or signed by another key (signature)")
            except BROKEN as error:
                self.wrong(where, f"is no event ({type(error).__name__}: {error})")

    def of_case(self, event: dict[str, Any]) -> bool:
        about = event["data"].get("case"), event["data"].get("alarm")
        return self.manifest.get("case") in (event["id"], *about)

    def check_chain(self) -> None:
        """From the event before the case's first one to its last one all are there, or what is not is proven gone."""
        if not any(event["id"] == self.manifest.get("case") for *_, event, _ in self.events):
            self.wrong("events.jsonl", f"the first event of the case is not in it (id {self.manifest.get('case')})")
        holes = [hole for *_, event, _ in self.events if event["type"] == PRUNED for hole in event["data"]["holes"]]
        for journal in dict.fromkeys(journal for journal, *_ in self.events):
            run = [entry for entry in self.events if entry[0] == journal]
            mine = [seq for _, seq, _, event, _ in run if self.of_case(event)] or [0]
            before, digest = max(min(mine) - 2, 0), ""
            for _, seq, body, event, where in run:
                if seq > max(mine) + 1:
                    if event["type"] != PRUNED:  # such a one is here for the holes that it names
                        self.wrong(where, "is neither of the case nor beside it (boxseq)")
                elif seq <= before:
                    self.wrong(where, f"stands behind boxseq {before}: out of order, or twice (boxseq)")
                elif seq == before + 1:
                    if event["prevhash"] != ("A" * 43 if seq == 1 else digest or event["prevhash"]):
                        self.wrong(where, "does not join the event before it (prevhash)")
                elif not any(hole[0] <= before + 1 and hole[1:] == [seq - 1, event["prevhash"]] for hole in holes):
                    self.wrong(where, f"boxseq {before + 1} to {seq - 1}, before it, are missing (boxseq)")
                before, digest = max(before, seq), b64(hashlib.sha256(body).digest())

    def check_files(self) -> None:
        """Each file that an event names is in the manifest, as it was signed, and in the folder; and no other is."""
        signed: dict[tuple[str, str], list[dict[str, Any]]] = {}
        last: dict[str, tuple[str, int, bool]] = {}
        for _, seq, _, event, _ in self.events:
            if event["type"] == EVIDENCE and self.of_case(event):
                data, place = event["data"], {"event": event["id"], "journal": event["journal"], "boxseq": seq}
                newest = event["time"], seq, data.get("last") is True
                last[data["camera"]] = max(newest, last.get(data["camera"], newest))
                for file in data["files"]:
                    signed.setdefault((data["camera"], file["sha256"]), []).append({**file, **place})
        for camera in (camera for camera, (*_, ended) in last.items() if not ended):
            self.wrong(f"camera {camera}", 'its newest event has no "last": files are still to come, or were left out')
        for entry in self.manifest["files"]:
            where = f"{entry.get('name') or entry['state']} (camera {entry['camera']}, event {entry['event']})"
            names = (*SIGNED, "event", "journal", "boxseq")
            events = signed.pop((entry["camera"], entry["sha256"]), [])
            if not any(all(entry.get(name) == event.get(name) for name in names) for event in events):
                self.wrong("manifest.json", f"{where}: no event says this of it, or it stands here twice")
            elif entry["state"] != "ok" or "problem" in entry:
                text = entry["problem"]["text"] if "problem" in entry else f"is {entry['state']}"
                self.wrong(where, f"sha256 {entry['sha256']}: {text} (said by the export itself)")
            ok, sealed = entry["state"] == "ok", entry["state"] == "sealed"
            if name := entry["name"] if ok else entry.get("stored"):
                self.same(name, entry["plain_sha256"] if ok else entry["sha256"] if sealed else "", where)
        for camera, digest in signed:
            self.wrong("manifest.json", f"a file of an event is not in it (camera {camera}, sha256 {digest})")

    def same(self, name: str, digest: str, where: str) -> None:
        """digest: "" for a file of which only is known that it is damaged."""
        if not (self.folder / name).is_file():
            self.wrong(where, f"{name} is not there")
        elif digest and sha256((self.folder / name).read_bytes()) != digest:
            self.wrong(where, f"{name} was changed; where in it, nobody can tell (sha256)")

    def check_folder(self) -> None:
        """What was made of the files is as the manifest says, and nothing else lies in the folder."""
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
    print("".join(f"FAULT  {fault}\n" for fault in check.faults), end="")
    whose = "the given key" if args.key else f"the key that the export names, {check.key}: compare it with the box's"
    verdict = f"NOT WHOLE: {len(check.faults)} faults" if check.faults else "WHOLE"
    print(f"{verdict}. {len(check.events)} events, {len(check.manifest.get('files', []))} files; {whose}.")
    return 1 if check.faults else 0


if __name__ == "__main__":
    sys.exit(main())
