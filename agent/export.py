"""`callbox export`: a case as a folder that anybody can look at and check, without Callbox.

Whatever is missing, damaged or sealed is named in the manifest and on the page, and nothing else is left out for it.
"""

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from agent import __version__
from agent.canonical import canonical
from agent.errors import BoxError
from agent.export_events import EVIDENCE, Case, Fault, read_case
from agent.export_files import SIGNED, File, find, identities, opened, plain_name, ticks, well_formed
from agent.export_page import page
from agent.export_pictures import thumbnails
from agent.export_videos import pictures, write_videos
from agent.identity import b64

FORMAT: Final = "callbox-export/1"
SHOWN_MAX: Final = 120
"""Pictures on the page, of each camera."""


def export(
    name: str, events: Path, media: Path, out: Path, *, identity: Path | None = None, key: bytes | None = None
) -> dict[str, Any]:
    """Writes a case into `out`, a new folder; the manifest, as it stands in manifest.json.

    name: the case's id, or how it begins. identity: a file of age identities. key: the box's public key. Raises
    BoxError when there is nothing to export, or no room for it.
    """
    case = read_case(events, name, key)
    keys = identities(identity) if identity else []
    if not media.is_dir():
        raise BoxError(f"{media}: no folder", "--media: state_dir/media of a box, or central's {store}.media")
    try:
        out.mkdir(mode=0o700)
    except FileExistsError:
        raise BoxError(f"{out} exists", "an export goes into a new folder: name another one with --out") from None
    except OSError as error:
        raise BoxError(f"{out}: {error.strerror}", "name a folder that can be made with --out") from error
    try:
        return _fill(out, case, media, keys, "given" if key else "central" if case.key else "nobody")
    except OSError as error:
        found = f"{error.filename or out}: {error.strerror}; the export is not whole"
        raise BoxError(found, "remove it, see to the disk, and export again") from error


def _fill(out: Path, case: Case, media: Path, keys: list[Any], key_from: str) -> dict[str, Any]:
    lines = b"".join(stored.row.body + b"\n" for run in case.runs.values() for stored in run)
    (out / "events.jsonl").write_bytes(lines)
    faults = list(case.faults)
    files = [_file(out, entry, media, keys) for entry in _signed(case, faults)]
    faults += _unfinished(case)
    videos = list(write_videos(out, files))
    _look(files)
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "agent": __version__,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "case": case.id,
        "source": case.source,
        "key": b64(case.key) if case.key else None,
        "key_from": key_from,
        "events": {"sha256": sha256(lines).hexdigest(), "count": lines.count(b"\n")},
        "cameras": _cameras(case, files),
        "files": [file.entry for file in files],
        "videos": videos,
        "faults": [{"where": fault.where, **fault.told()} for fault in faults],
    }
    html = page(manifest, case, {file.entry["sha256"]: file.thumbnail for file in files})
    (out / "index.html").write_text(html, encoding="utf-8")
    shutil.copyfile(Path(__file__).with_name("verify_export.py"), out / "verify.py")
    made = sorted(["index.html", "verify.py", *(video["name"] for video in videos)])
    manifest["made"] = {name: sha256((out / name).read_bytes()).hexdigest() for name in made}
    manifest["sha256"] = sha256(canonical(manifest)).hexdigest()
    text = json.dumps(manifest, ensure_ascii=False, indent=1)
    (out / "manifest.json").write_text(text + "\n", encoding="utf-8")
    return manifest


def _signed(case: Case, faults: list[Fault]) -> list[dict[str, Any]]:
    """What the events of a case say of its files, each once, by camera and time. What has no shape goes to `faults`."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for stored in case.mine():
        event, data = stored.event, stored.event["data"]
        if event["type"] != EVIDENCE:
            continue
        camera, files = data.get("camera"), data.get("files")
        for file in files if isinstance(files, list) and isinstance(camera, str) else [None]:
            if not isinstance(file, dict) or not well_formed(file):
                faults.append(Fault("evidence", stored.row.where, {"event": stored.name}))
                continue
            said = {name: file[name] for name in (*SIGNED, "encrypted", "key_frame") if name in file}
            place = {"event": event["id"], "journal": event["journal"], "boxseq": stored.seq}
            found.setdefault((str(camera), file["sha256"]), {"camera": camera, **place, **said})
    return sorted(found.values(), key=lambda entry: (entry["camera"], entry["from"], entry["bytes"]))


def _file(out: Path, entry: dict[str, Any], media: Path, keys: list[Any]) -> File:
    """Checks a file and writes what is in it; or, where that cannot be, its bytes as they are."""
    stored = find(media, entry["sha256"])
    state, fault, plain = opened(entry, stored, keys)
    file = File({"state": state, **entry})
    if plain is not None:
        file.entry["name"] = plain_name(entry)
        _place(out, file.entry["name"]).write_bytes(plain)
        try:
            file.look_into(plain)
        except ValueError as error:
            fault = Fault("clip", values={"found": str(error)})
    elif stored is not None:
        file.entry["stored"] = f"stored/{entry['sha256']}"
        shutil.copyfile(stored, _place(out, file.entry["stored"]))
    if fault:
        file.wrong(fault)
    return file


def _look(files: list[File]) -> None:
    """Has the first pictures of the files decoded; of a long case, of some of them."""
    for camera in sorted({file.entry["camera"] for file in files}):
        its = [(file, file.clip) for file in files if file.entry["camera"] == camera and file.clip]
        shown = its[:: -(-len(its) // SHOWN_MAX) or 1]
        for (file, _), small in zip(shown, thumbnails([clip for _, clip in shown]), strict=True):
            file.thumbnail = small.jpeg
            if small.problem:
                file.wrong(Fault("picture", values={"found": small.problem}))


def _place(out: Path, name: str) -> Path:
    path = out / name
    path.parent.mkdir(exist_ok=True)
    return path


def _cameras(case: Case, files: list[File]) -> list[dict[str, Any]]:
    """How many pictures each camera has from before and after the case began."""
    began = min((ticks(stored.event["time"]) for stored in case.mine() if stored.event["id"] == case.id), default=0)
    found = []
    for camera in sorted({file.entry["camera"] for file in files}):
        its = [file for file in files if file.entry["camera"] == camera]
        times = [shown.at for shown in pictures(its)]
        before = sum(at < began for at in times)
        counts = {"before": before, "after": len(times) - before, "files": len(its)}
        found.append({"camera": camera, **counts, "good": sum("problem" not in file.entry for file in its)})
    return found


def _unfinished(case: Case) -> Iterator[Fault]:
    """Cameras whose clip has not come to its end."""
    newest = {
        str(stored.event["data"].get("camera")): stored for stored in case.mine() if stored.event["type"] == EVIDENCE
    }
    for camera, stored in newest.items():
        if stored.event["data"].get("last") is not True:
            yield Fault("no_last", stored.name, {"camera": camera})
