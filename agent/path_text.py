"""An event as a report: what a path is given of it, and its text in the language and by the clock of the site."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from agent.events import Event
from agent.text import catalogue, t
from drivers.contract import Report


def report_of(event: Event, box: str, points: Mapping[str, int], lang: str | None) -> Report:
    """Of an event of this box, which is well-formed. points: the number of each input. lang: None for the system's."""
    whole = json.loads(event.body)
    data: dict[str, Any] = whole["data"]
    test, place = bool(data.get("test")), data.get("position", {})
    over = data.get("transition") == "restored"
    when = datetime.fromisoformat(whole["time"])
    name = whole["type"].removeprefix("callbox.").replace(".", "_")
    what = t(f"path.{name}", lang) if f"path.{name}" in catalogue() else whole["type"]
    for wrap, wanted in (("path.over", over), ("path.test", test)):
        what = t(wrap, lang, what=what) if wanted else what
    of = data.get("input") or data.get("link") or data.get("camera") or data.get("patrol") or ""
    return Report(
        seq=event.seq,
        cls="alarm" if event.cls == "alarm" else "trouble",
        cid=data.get("cid", 0),
        qualifier=3 if over else 1,
        zone=points.get(data.get("input", ""), 0),
        wall_s=when.timestamp(),
        text=t("path.text", lang, box=box, what=what, of=of, time=f"{when.astimezone():%Y-%m-%d %H:%M %z}"),
        test=test,
        latitude=place.get("lat"),
        longitude=place.get("lon"),
    )
