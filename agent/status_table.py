"""`callbox status` as people read it."""

from typing import Any
from unicodedata import east_asian_width

from agent.text import shown, t


def status_table(status: dict[str, Any]) -> str:
    """What the running box says of itself, a line each."""
    link = status["link"]
    up = t(f"cli.link_{link['state']}") + (f", MQTT {link['protocol']}" if link["protocol"] else "")
    reason = f" ({link['reason']})" if link["reason"] else ""
    pending = [f"{name} {count}" for name, count in status["pending"].items() if count and name != "media_bytes"]
    if media_bytes := status["pending"].get("media_bytes"):
        pending.append(t("cli.pending_media", megabytes=_megabytes(media_bytes)))
    rows = [
        (t("cli.row_box"), f"{status['box']}  {status['name']}  {t('cli.armed')}"),
        (t("cli.row_link"), f"{up}  {link['url']}  {t('cli.since', seconds=link['since_s'])}{reason}"),
        *((t("cli.row_links"), _way(way)) for way in status["links"] if len(status["links"]) > 1),
        *_compliance(status["profile"], status["compliance"]),
        (t("cli.row_journal"), f"{status['journal']}  {status['seq']}"),
        (t("cli.row_pending"), ", ".join(pending) or t("cli.none")),
        (t("cli.row_alarms"), str(status["open_alarms"] or t("cli.none"))),
    ]
    for name, entry in status["inputs"].items():
        value, quality = t(f"cli.value_{entry['value']}"), t(f"cli.quality_{entry['quality']}")
        rows.append((t("cli.row_input"), f"{name}  {value}  {quality}"))
    for name, output in status["outputs"].items():
        role, value = t(f"cli.role_{output['role']}"), t(f"cli.value_{output['value']}")
        rows.append((t("cli.row_output"), f"{name}  {role}  {value}"))
    if place := status.get("position"):
        rows.append((t("cli.row_position"), _place(place)))
    rows += [(t("cli.row_neighbour"), _neighbour(neighbour)) for neighbour in status["neighbours"]]
    rows += [(t("cli.row_path"), _path(path)) for path in status.get("paths", [])]
    rows += [(t("cli.row_camera"), _camera(camera)) for camera in status.get("cameras", [])]
    for name, codes in status.get("lists", {}).items():
        held = t("cli.list_never") if codes is None else t("cli.list_codes", codes=f"{codes:,}")
        rows.append((t("cli.row_list"), f"{name}  {held}"))
    rows += [(t("cli.row_trouble"), f"{name}: {reason}") for name, reason in status["trouble"].items()]
    width = max(_columns(name) for name, _ in rows)
    return "\n".join(f"{name}{' ' * (width - _columns(name))}  {shown(value)}" for name, value in rows)


def _way(way: dict[str, Any]) -> str:
    if way["reason"]:
        return t("cli.way_failed", **way)
    return t("cli.way_in_use" if way["in_use"] else "cli.way_spare", url=way["url"])


def _place(place: dict[str, Any]) -> str:
    shown = t("cli.place", **place) if "lat" in place else t("cli.place_unknown")
    return f"{shown}  {t('cli.place_stale')}" if "stale" in place else shown


def _neighbour(neighbour: dict[str, Any]) -> str:
    shown = [neighbour["box"], *([neighbour["name"]] if neighbour["name"] else [])]
    shown.append(", ".join(neighbour["alarms"]) or t("cli.neighbour_quiet"))
    if neighbour["deaf"]:
        shown.append(t("cli.neighbour_deaf"))
    if neighbour["refused"]:
        shown.append(t("cli.neighbour_refused", refused=neighbour["refused"]))
    return "  ".join(shown)


def _path(path: dict[str, Any]) -> str:
    owed = t("cli.path_owed", owed=path["owed"]) if path["owed"] else ""
    return "  ".join(filter(None, [path["id"], t(f"cli.path_{path['state']}"), owed, path["reason"]]))


def _camera(camera: dict[str, Any]) -> str:
    """One line; what its process has not said is left out, and all of it while it has not begun."""
    shown = [camera["id"], t(f"cli.camera_{camera['quality']}")]
    if camera.get("codec"):
        shown += [t("cli.camera_stream", **camera)]
    if "ring_bytes" in camera:
        sizes = {name: _megabytes(camera[f"{name}_bytes"]) for name in ("ring", "rss")}
        shown += [t("cli.camera_memory", ring_s=camera["ring_s"], **sizes)]
    if camera["restarts"]:
        shown += [t("cli.camera_restarts", restarts=camera["restarts"])]
    if camera.get("seen_ago_s") is not None:
        shown += [t("cli.camera_seen", seen_ago_s=camera["seen_ago_s"])]
    return "  ".join(shown)


def _megabytes(size: int) -> str:
    return f"{size / 1_000_000:.1f} MB"


def _compliance(profile: str, measured: dict[str, Any]) -> list[tuple[str, str]]:
    """How the profile was kept over the last day, and how soon alarms were at central."""
    verdict = "cli.compliance_kept" if measured["within"] else "cli.compliance_broken"
    shown = {**measured, "hours": f"{measured['hours']:.1f}", "available": f"{measured['available']:.3%}"}
    rows = [(t("cli.row_profile"), t(verdict, profile=profile, **shown))]
    if measured["alarms"]:
        rows.append(("", t("cli.compliance_alarms", **measured)))
    return rows


def _columns(text: str) -> int:
    """Width on a terminal: Chinese characters take two columns."""
    return sum(2 if east_asian_width(char) in "WF" else 1 for char in text)
