"""The page of an export: what happened, what the cameras saw, and what was checked and what was not.

One file that needs nothing but the films beside it, in both languages, on a screen and on paper.
"""

from collections.abc import Iterable
from html import escape
from pathlib import Path
from string import Template
from typing import Any, Final

from agent.export_events import EVIDENCE, Case, Stored
from agent.export_files import ticks
from agent.export_streams import TICKS
from agent.text import LANGUAGES, catalogue, language, t

BAR_WIDTH: Final = 1000
ROW_HEIGHT: Final = 34
NO_PRESS: Final = ("confirmed", "listed")
"""Alarms that nobody pressed."""
LABELS: Final = 10
"""About as many times are written below the bars."""


def page(manifest: dict[str, Any], case: Case, thumbnails: dict[str, str]) -> str:
    """The page's HTML. thumbnails: base64 of a JPEG by the SHA-256 of its file; "" where there is none."""
    mine = case.mine()
    first = next((stored for stored in mine if stored.event["id"] == case.id), mine[0])
    began = ticks(first.event["time"])
    wrong = problems(manifest)
    body = [
        *_head(manifest, first, wrong),
        _steps(mine, first),
        _heading("events"),
        _events(case, mine, began),
        *_cameras(manifest, began, thumbnails),
        _heading("checked"),
        _checks(manifest, case, mine, wrong),
        _heading("files"),
        _files(manifest),
    ]
    template = Template(Path(__file__).with_name("export_page.html").read_text(encoding="utf-8"))
    return template.substitute(lang=language(), title=escape(f"Callbox {case.id}"), body="\n".join(body))


def problems(manifest: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """(where, what as `Fault.told`) of all that is wrong."""
    found = [(fault["where"], fault) for fault in manifest["faults"]]
    files = [entry for entry in manifest["files"] if "problem" in entry]
    return found + [(f"{entry['camera']}, {entry['sha256']}", entry["problem"]) for entry in files]


def _both(name: str, **values: object) -> str:
    """A text of the catalogue in both languages, of which the page shows one."""
    return _spans(t(f"export.{name}", lang, **values) for lang in LANGUAGES)


def _spans(texts: Iterable[str]) -> str:
    shown = zip(LANGUAGES, texts, strict=True)
    return "".join(f'<span lang="{lang}">{escape(text)}</span>' for lang, text in shown)


def _wrong(fault: dict[str, Any]) -> str:
    return _both(f"fault_{fault['code']}", **fault["values"])


def _heading(name: str) -> str:
    return f"<h2>{_both(f'page_{name}')}</h2>"


# ---- what happened


def _head(manifest: dict[str, Any], first: Stored, wrong: list[Any]) -> Iterable[str]:
    yield f"<header><div><h1>{_label(first)}</h1><p>{_both('page_about', source=manifest['source'])}</p>"
    yield f"<p>{_both('page_case')} <code>{escape(manifest['case'])}</code></p></div>"
    yield f'<button type="button">{_spans(t("page.language", lang) for lang in LANGUAGES)}</button></header>'
    verdict = _both("page_broken", count=len(wrong)) if wrong else _both("page_whole")
    yield f'<p class="verdict{" bad" if wrong else ""}"><b>{"✗" if wrong else "✓"}</b><span>{verdict}</span></p>'


def _label(stored: Stored) -> str:
    """What an event is, in both languages."""
    event, data = stored.event, stored.event["data"]
    room, _, kind = event["type"].removeprefix("callbox.").partition(".")
    if room == "alarm":
        what = {"restored": "restored"}.get(str(data.get("transition")), "raised")
        key = "page.type.raised_n" if what == "raised" and data.get("count", 1) != 1 else f"page.type.{what}"
        texts = [t(key, lang, n=data.get("count")) for lang in LANGUAGES]
        known = f"page.kind.{kind}" in catalogue()
        if known and kind in NO_PRESS and what == "raised":
            return _spans(t(f"page.kind.{kind}", lang) for lang in LANGUAGES)
        kinds = [t(f"page.kind.{kind}", lang) if known else kind for lang in LANGUAGES]
        return _spans(f"{kind}: {text}" for kind, text in zip(kinds, texts, strict=True))
    key = f"page.type.{room}.{kind}"
    known = key in catalogue() and "{" not in catalogue()[key]["en"]
    return _spans(t(key, lang) if known else event["type"] for lang in LANGUAGES)


def _steps(mine: list[Stored], first: Stored) -> str:
    """Pressed, recorded, delivered, acknowledged, closed: when, or that it was not."""
    by_type = {stored.event["type"]: stored for stored in reversed(mine)}
    steps = [("pressed", _when(first.event["time"]), escape(first.event["subject"]))]
    steps.append(("recorded", _both("page_place", seq=first.seq), escape(first.event["journal"])))
    received = first.row.received_at
    steps.append(("delivered", _when(received) if received else "", "" if received else _both("page_unknown")))
    for name in ("acknowledged", "closed"):
        done = by_type.get(f"callbox.audit.{name}")
        by = escape(str(done.event["data"].get("by", ""))) if done else _both("page_not")
        steps.append((name, _when(done.event["time"]) if done else "", by))
    items = (
        f"<li{'' if when else ' class=not'}><b>{_both(f'page_{name}')}</b>{when}<small>{more}</small></li>"
        for name, when, more in steps
    )
    return f'<ol class="steps">{"".join(items)}</ol>'


def _when(time: str) -> str:
    """UTC, to the millisecond."""
    date, _, clock = time.removesuffix("Z").partition("T")
    return f"{escape(date)} {escape(clock[:12])} UTC"


def _after(at: int, began: int) -> str:
    seconds = f"{(at - began) / TICKS:+.1f}"
    return f"{'0' if seconds in ('+0.0', '-0.0') else seconds} s"


def _events(case: Case, mine: list[Stored], began: int) -> str:
    heads = "".join(f"<th>{_both(f'page_{name}')}</th>" for name in ("when", "what", "record", "received"))
    broken = {fault.where for fault in case.faults}
    rows = []
    for stored in mine:
        event, received = stored.event, stored.row.received_at
        unsynced = f"<small>{_both('page_unsynced')}</small>" if event["timequality"] != "synced" else ""
        cells = (
            f"{_when(event['time'])}<small>{_after(ticks(event['time']), began)}</small>{unsynced}",
            f"{_label(stored)}<small>{_details(event)}</small>",
            f"{stored.seq}<small>{escape(event['journal'])}</small>",
            _when(received) if received else _both("page_unknown"),
        )
        row = "".join(
            f'<td class="time">{cell}</td>' if at != 1 else f"<td>{cell}</td>" for at, cell in enumerate(cells)
        )
        rows.append(f"<tr{' class=bad' if stored.row.where in broken else ''}>{row}</tr>")
    return f'<div class="wide"><table><tr>{heads}</tr>{"".join(rows)}</table></div>'


def _details(event: dict[str, Any]) -> str:
    """What else an event says."""
    data = event["data"]
    if event["type"] == EVIDENCE and isinstance(data.get("files"), list):
        name = "page_brings_last" if data.get("last") is True else "page_brings"
        return _both(name, camera=data.get("camera"), count=len(data["files"]))
    names = ("input", "by", "verb", "result", "reason", "note")
    said = escape(", ".join(str(data[name]) for name in names if data.get(name)))
    return ", ".join(part for part in (said, _place(data)) if part)


def _place(data: dict[str, Any]) -> str:
    """Where a box with a satellite receiver was."""
    place = data.get("position", data)
    if not isinstance(place, dict) or not ("lat" in place or "position" in data):
        return ""
    lat, lon = place.get("lat"), place.get("lon")
    if not all(isinstance(degrees, float | int) and abs(degrees) <= 180 for degrees in (lat, lon)):
        return _spans(t("page.place_unknown", lang) for lang in LANGUAGES)
    key = "page.place_stale" if place.get("stale") else "page.place"
    return _spans(t(key, lang, lat=f"{lat:.6f}", lon=f"{lon:.6f}") for lang in LANGUAGES)


# ---- what the cameras saw


def _cameras(manifest: dict[str, Any], began: int, thumbnails: dict[str, str]) -> Iterable[str]:
    yield _heading("cameras")
    if not manifest["files"]:
        yield f"<p>{_both('page_no_files')}</p>"
        return
    yield _bars(manifest, began)
    for seen in manifest["cameras"]:
        files = [entry for entry in manifest["files"] if entry["camera"] == seen["camera"]]
        jpegs = [thumbnails[entry["sha256"]] for entry in files if ticks(entry["to"]) >= began]
        jpeg = next(filter(None, jpegs), "")
        poster = f' poster="data:image/jpeg;base64,{jpeg}"' if jpeg else ""
        yield f"<h3>{escape(seen['camera'])}</h3><p>{_both('page_counts', **seen)}</p>"
        for video in manifest["videos"]:
            if video["camera"] != seen["camera"]:
                continue
            name = escape(video["name"])
            if video["codec"] == "mjpeg":
                yield f'<p><a href="{name}">{name}</a>: {_both("page_mjpeg")}</p>'
            else:
                yield f'<video controls preload="metadata" src="{name}"{poster}></video>'
                note = f": {_both('page_hevc')}" if video["codec"] == "hevc" else ""
                yield f'<p><a href="{name}">{name}</a>{note}</p>'
            for at, lasts in video["gaps"]:
                yield f'<p class="dim">{_both("page_gap", at=_after(ticks(at), began), seconds=lasts)}</p>'
        shown = [entry for entry in files if thumbnails[entry["sha256"]] or "problem" in entry]
        if len(shown) < len(files):
            yield f'<p class="dim">{_both("page_some", shown=len(shown), files=len(files))}</p>'
        yield f'<div class="pictures">{"".join(_picture(entry, began, thumbnails) for entry in shown)}</div>'


def _picture(entry: dict[str, Any], began: int, thumbnails: dict[str, str]) -> str:
    jpeg = thumbnails.get(entry["sha256"])
    state = "unreadable" if entry["state"] == "ok" else entry["state"]
    shown = f'<img alt="" src="data:image/jpeg;base64,{jpeg}">' if jpeg else f'<div class="none">{_state(state)}</div>'
    caption = f"<b>{_after(ticks(entry['from']), began)}</b><span>{escape(entry['from'][11:19])}</span>"
    return f"<figure>{shown}<figcaption>{caption}</figcaption></figure>"


def _state(state: str) -> str:
    return _both(f"state_{state}")


def _bars(manifest: dict[str, Any], began: int) -> str:
    """Every file over time, a row for each camera, and the moment of the press."""
    spans = [(entry, ticks(entry["from"]), ticks(entry["to"])) for entry in manifest["files"]]
    low = min([began, *(at for _, at, _ in spans)])
    high = max([began + TICKS, *(at for *_, at in spans)])
    left, names = 150, [seen["camera"] for seen in manifest["cameras"]]
    scale = (BAR_WIDTH - left - 20) / (high - low)
    height = ROW_HEIGHT * len(names) + 30
    drawn = []
    for entry, begin, end in spans:
        x, y = left + (begin - low) * scale, names.index(entry["camera"]) * ROW_HEIGHT + 9
        color = "#1a5fb4" if entry["state"] == "ok" and "problem" not in entry else "#b3142b"
        width = max((end - begin) * scale, 3)
        drawn.append(f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="16" fill="{color}" stroke="#fff"/>')
    for row, name in enumerate(names):
        drawn.append(f'<text x="8" y="{row * ROW_HEIGHT + 22}" font-size="15">{escape(name[:18])}</text>')
    step = next(s for s in (1, 2, 5, 10, 30, 60, 300, 600, 3600, 86400, 1 << 40) if s * LABELS * TICKS >= high - low)
    at = began - (began - low) // (step * TICKS) * step * TICKS
    while at <= high:
        x, text = left + (at - low) * scale, f"{(at - began) // TICKS:+d} s" if at != began else "0"
        drawn.append(
            f'<text x="{x:.1f}" y="{height - 9}" font-size="13" text-anchor="middle" fill="#55606c">{text}</text>'
        )
        at += step * TICKS
    x = left + (began - low) * scale
    drawn.append(f'<path d="M{x:.1f} 2V{height - 24}" stroke="#14191f" stroke-width="3"/>')
    return f'<svg viewBox="0 0 {BAR_WIDTH} {height}" role="img" aria-label="timeline">{"".join(drawn)}</svg>'


# ---- what was checked


def _checks(manifest: dict[str, Any], case: Case, mine: list[Stored], wrong: list[Any]) -> str:
    files = manifest["files"]
    good = sum(entry["state"] == "ok" for entry in files)
    said = [("bad", _problem(where, fault)) for where, fault in wrong]
    for journal, run in case.runs.items():
        named = {"journal": journal, "first": run[0].seq, "last": run[-1].seq, "events": len(run)}
        said.append(("good" if not case.faults else "open", _both("check_chain", **named)))
    if case.key:
        where = _both(f"key_{manifest['key_from']}")
        said.append(("good", f"{_both('check_key', public=manifest['key'])} {where}"))
    if files:
        told = _both("check_files", good=good, count=len(files))
        said.append(("good" if good == len(files) else "bad", told))
    unsynced = any(stored.event["timequality"] != "synced" for stored in mine)
    said.append(("open", _both("check_clock_unsynced" if unsynced else "check_clock")))
    said += [("open", _both(f"check_{name}")) for name in ("camera", "later", "films", "again")]
    return f'<ul class="checks">{"".join(f"<li class={state}><span>{text}</span></li>" for state, text in said)}</ul>'


def _problem(where: str, fault: dict[str, Any]) -> str:
    return f"{escape(where)}: {_wrong(fault)}"


def _files(manifest: dict[str, Any]) -> str:
    heads = "".join(f"<th>{_both(f'page_{name}')}</th>" for name in ("file", "taken", "sha256", "state"))
    rows = []
    for entry in manifest["files"]:
        name = entry.get("name") or entry.get("stored") or entry["sha256"][:8]
        link = f'<a href="{escape(name)}">{escape(name)}</a>' if "/" in name else escape(name)
        state = _state(entry["state"])
        if "problem" in entry:
            state += f"<small>{_wrong(entry['problem'])}</small>"
        taken = f"{_when(entry['from'])}<small>{_when(entry['to'])}</small>"
        about = (
            f"{link}<small>{escape(entry['camera'])}, {entry['bytes']} B, {entry['journal']} {entry['boxseq']}</small>"
        )
        cells = f'<td>{about}</td><td class="time">{taken}</td><td><code>{entry["plain_sha256"]}</code></td>'
        rows.append(f"<tr{' class=bad' if 'problem' in entry else ''}>{cells}<td>{state}</td></tr>")
    return f'<div class="wide"><table><tr>{heads}</tr>{"".join(rows)}</table></div>'
