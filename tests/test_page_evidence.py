"""Evidence on the operator page, in a real headless Chromium: first picture, strip, player, progress, troubles."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from clips import Stored, clip, gops, key_picture, needs_ffmpeg, stored
from duty_desk import DEADLINE_S, Desk, browser, desk, needs_chromium, watched
from playwright.sync_api import Browser, Locator, Page, expect

__all__ = ["browser", "desk"]  # fixtures
pytestmark = [pytest.mark.real, needs_chromium, needs_ffmpeg]
FAILED_LOADS = ("404", "422")  # a picture that cannot be shown is no fault of the page


@pytest.fixture
def page(browser: Browser, desk: Desk) -> Iterator[Page]:
    with watched(browser, 1400, FAILED_LOADS) as page:
        page.goto(desk.central.url)
        expect(page.locator("body[data-link=live]")).to_be_attached()
        yield page


def at_of(event: bytes) -> float:
    """Second since 1970."""
    return datetime.fromisoformat(json.loads(event)["time"]).timestamp()


def pressed(desk: Desk, page: Page) -> tuple[str, float]:
    """A case, and the second of its press."""
    payload = desk.box.press()
    case = desk.box.alarm(payload)
    expect(page.locator(f'[data-testid=case][data-case="{case}"]')).to_be_visible()
    return case, at_of(payload)


def tells(desk: Desk, case: str, camera: str, *files: Stored, **data: Any) -> None:
    desk.box.say("event/status", desk.box.evidence(case, camera, *(file.entry for file in files), **data))


def films(desk: Desk, case: str, camera: str, codec: str, begins_s: float, seconds: int = 4) -> list[Stored]:
    files = clip(codec, seconds, begins_s)
    tells(desk, case, camera, *files, last=True)
    for file in files:
        desk.box.upload(file)
    return files


def camera(page: Page, name: str) -> Locator:
    return page.locator(f'[data-testid=camera][data-camera="{name}"]')


def at_ms(page: Page, name: str) -> float:
    """When the picture on the stage was taken."""
    return float(camera(page, name).locator("canvas").get_attribute("data-at") or "nan")


def shows(page: Page, name: str, file: Stored, number: int | None = None) -> None:
    """On the stage of this camera stands a picture of this file."""
    stage = camera(page, name).locator("canvas")
    if number is None:
        page.wait_for_function(
            "([canvas, sha]) => canvas.dataset.shown?.startsWith(sha)", arg=[stage.element_handle(), file.sha256]
        )
    else:
        expect(stage).to_have_attribute("data-shown", f"{file.sha256} {number}")


def painted(page: Page, name: str) -> int:
    """How many colours there are on the stage."""
    return int(
        camera(page, name)
        .locator("canvas")
        .evaluate(
            "canvas => new Set(new Uint32Array(canvas.getContext('2d')"
            ".getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size"
        )
    )


def test_the_first_picture_is_there_before_the_clip_and_then_the_clip(page: Page, desk: Desk) -> None:
    case, at_s = pressed(desk, page)
    first = key_picture(at_s - 0.2)
    tells(desk, case, "front", first)
    expect(camera(page, "front")).to_contain_text("The first picture is on its way")
    desk.box.upload(first)
    shows(page, "front", first)
    assert painted(page, "front") > 5
    expect(page.get_by_test_id("play")).to_be_hidden()
    files = films(desk, case, "front", "h264", at_s - 2.5)
    shows(page, "front", files[2])
    expect(page.get_by_test_id("play")).to_be_visible()


def test_a_clip_is_a_strip_with_what_was_before_at_and_after_the_press(page: Page, desk: Desk) -> None:
    case, at_s = pressed(desk, page)
    films(desk, case, "front", "h264", at_s - 2.5, 5)
    pieces = camera(page, "front").get_by_test_id("piece")
    expect(pieces).to_have_count(5)
    assert [piece.get_attribute("data-side") for piece in pieces.all()] == ["before", "before", "press"] + ["after"] * 2
    expect(pieces.nth(2)).to_have_text("Press")
    expect(pieces.first.locator("img")).to_be_visible()
    expect(pieces.nth(4).locator("img")).to_be_visible()
    assert all(
        pieces.nth(number).locator("img").evaluate("async image => { await image.decode(); return image.naturalWidth }")
        for number in (0, 4)
    )
    expect(page.get_by_test_id("tick")).to_have_count(1)
    pieces.nth(4).locator("button").click()
    shows(page, "front", clip("h264", 5, at_s - 2.5)[4], 0)
    expect(page.get_by_test_id("at")).to_contain_text("+1.5 s")
    expect(pieces.nth(4).locator("button")).to_have_attribute("aria-current", "true")


@pytest.mark.parametrize(
    "codec", ["h264", *(pytest.param(codec, marks=pytest.mark.soak) for codec in ("hevc", "mjpeg"))]
)
def test_a_clip_of_each_kind_is_played_to_its_end(page: Page, desk: Desk, codec: str) -> None:
    case, at_s = pressed(desk, page)
    files = films(desk, case, "front", codec, at_s - 1.5, 3)
    expect(camera(page, "front").get_by_test_id("piece").nth(2).locator("img")).to_be_visible()
    page.evaluate(
        "() => { const canvas = document.querySelector('[data-testid=camera] canvas'); window.seen = [];"
        " new MutationObserver(() => window.seen.push(Number(canvas.dataset.at)))"
        ".observe(canvas, { attributeFilter: ['data-at'] }); }"
    )
    page.get_by_test_id("seek").focus()
    page.keyboard.press("Home")
    shows(page, "front", files[0], 0)
    page.keyboard.press(" ")
    shows(page, "front", files[2])
    expect(page.get_by_test_id("evidence")).to_have_attribute("data-playing", "false")
    seen = page.evaluate("window.seen")
    played = seen[seen.index(min(seen)) :]
    assert played == sorted(played) and len(set(played)) > 10
    assert painted(page, "front") > 5


def test_two_cameras_stand_side_by_side_under_one_clock(page: Page, desk: Desk) -> None:
    page.set_viewport_size({"width": 1600, "height": 1200})
    case, at_s = pressed(desk, page)
    films(desk, case, "front", "h264", at_s - 2.5)
    films(desk, case, "gate", "mjpeg", at_s - 2.5)
    tells(desk, case, "yard", last=True)
    for name in ("front", "gate"):
        expect(camera(page, name).get_by_test_id("piece").nth(3).locator("img")).to_be_visible()
    page.get_by_test_id("seek").focus()
    page.keyboard.press("End")
    for name in ("front", "gate"):
        shows(page, name, clip({"front": "h264", "gate": "mjpeg"}[name], 4, at_s - 2.5)[3], 9)
    boxes = [camera(page, name).bounding_box() for name in ("front", "gate", "yard")]
    for name in ("front", "gate"):
        expect(camera(page, name).locator("button[aria-current]")).to_be_in_viewport()
    assert boxes[0] and boxes[1] and boxes[0]["y"] == boxes[1]["y"] and boxes[0]["x"] < boxes[1]["x"]
    expect(camera(page, "yard").get_by_test_id("no-evidence")).to_have_text("No evidence from camera yard")


def test_the_pictures_are_played_and_sought_by_keyboard(page: Page, desk: Desk) -> None:
    case, at_s = pressed(desk, page)
    films(desk, case, "front", "h264", at_s - 2.5)
    page.keyboard.press("j")
    expect(page.get_by_test_id("at")).to_contain_text("+0.0 s")
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_test_id("at")).to_contain_text("−1.0 s")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_test_id("at")).to_contain_text("+1.0 s")
    page.keyboard.press("p")
    expect(page.get_by_test_id("evidence")).to_have_attribute("data-playing", "true")
    page.keyboard.press("p")
    expect(page.get_by_test_id("evidence")).to_have_attribute("data-playing", "false")
    page.get_by_test_id("seek").focus()
    page.keyboard.press("Home")
    expect(page.get_by_test_id("seek")).to_have_attribute("aria-valuetext", page.get_by_test_id("at").inner_text())


def test_the_progress_of_an_upload_is_told_in_bytes(page: Page, desk: Desk) -> None:
    case, at_s = pressed(desk, page)
    [file] = clip("mjpeg", 1, at_s)
    tells(desk, case, "front", file)
    desk.box.upload(file, 0, 2)
    total = f"{-(-len(file.data) // 1000)} kB"
    expect(camera(page, "front").locator("figcaption")).to_contain_text(f"9 kB of {total} received · more may come")
    expect(camera(page, "front").locator("progress")).to_have_attribute("value", "8192")
    desk.box.say("state", desk.box.state(pending={"alarm": 0, "media_bytes": 3_400_000}), retain=True)
    expect(page.get_by_test_id("box")).to_contain_text("3.4 MB of evidence still at the box")
    desk.box.upload(file, 2)
    expect(camera(page, "front").locator("figcaption")).to_contain_text(f"{total} received")
    expect(camera(page, "front").locator("progress")).to_have_count(0)
    shows(page, "front", file)


def test_a_wrong_hash_is_shown_until_the_right_file_is_here(page: Page, desk: Desk) -> None:
    case, at_s = pressed(desk, page)
    [file] = clip("h264", 1, at_s)
    tells(desk, case, "front", file, last=True)
    desk.box.upload(Stored(bytes(len(file.data)), file.entry))
    expect(page.get_by_test_id("wrong-hash")).to_contain_text("wrong hash: 1")
    desk.box.upload(file)
    expect(page.get_by_test_id("wrong-hash")).to_have_count(0)
    shows(page, "front", file)


def test_encrypted_pictures_are_opened_where_central_has_the_key(page: Page, desk: Desk) -> None:
    case, at_s = pressed(desk, page)
    files = [stored(gops("h264", 1)[0], "video/mp2t", at_s, recipient=desk.recipient)]
    tells(desk, case, "front", *files, last=True)
    desk.box.upload(files[0])
    shows(page, "front", files[0])
    desk.restart(decrypts=False)
    page.reload()
    expect(camera(page, "front")).to_contain_text("Received, encrypted: central has no key for it")
    expect(camera(page, "front").locator("img")).to_have_count(0)


def test_pictures_that_cannot_be_shown_say_why(page: Page, desk: Desk) -> None:
    case, at_s = pressed(desk, page)
    other = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
    bad = {
        "broken": stored(b"G" + bytes(5000), "video/mp2t", at_s - 0.5),
        "forged": stored(gops("h264", 1)[0], "video/mp2t", at_s - 0.5, plain_sha256="0" * 64),
        "foreign": stored(gops("h264", 2)[1], "video/mp2t", at_s - 0.5, recipient=other),
    }
    for name, file in bad.items():
        tells(desk, case, name, file, last=True)
        desk.box.upload(file)
    expect(camera(page, "broken")).to_contain_text("These pictures cannot be decoded")
    expect(camera(page, "forged")).to_contain_text("Not what the box signed")
    expect(camera(page, "foreign")).to_contain_text("not encrypted to central's key")


def test_a_case_that_goes_on_leaves_the_player_where_it_is(page: Page, desk: Desk) -> None:
    case, at_s = pressed(desk, page)
    files = films(desk, case, "front", "h264", at_s - 2.5)
    expect(camera(page, "front").get_by_test_id("piece").nth(3).locator("img")).to_be_visible()
    page.get_by_test_id("seek").focus()
    page.keyboard.press("End")
    shows(page, "front", files[3], 9)
    before = page.get_by_test_id("at").inner_text()
    desk.box.audit("acknowledged", case=case, by="/operators/duty-desk", note="")
    expect(page.locator("[data-testid=case]")).to_have_attribute("data-state", "acknowledged")
    assert page.get_by_test_id("at").inner_text() == before
    expect(page.get_by_test_id("seek")).to_be_focused()
    desk.box.alarm(desk.box.press(case=case, count=2))
    expect(page.locator("[data-testid=case]")).to_contain_text("×2")
    assert painted(page, "front") > 5


def test_the_pictures_of_a_closed_case_are_in_its_row(page: Page, desk: Desk) -> None:
    case, at_s = pressed(desk, page)
    desk.box.audit("closed", case=case, by="/operators/duty-desk", note="")
    row = page.locator(f'[data-testid=closed-case][data-case="{case}"]')
    expect(row).to_be_visible()
    files = films(desk, case, "front", "h264", at_s - 2.5)
    page.reload()
    row.locator("summary").click()
    shows(page, "front", files[2])


def test_the_pictures_of_a_scan_and_of_a_command_are_in_their_rows(page: Page, desk: Desk) -> None:
    box = desk.box
    code = box.event("scan.code", input="desk", code="A-1")
    scan = box.say("event/scan", code)
    command = "01a200e4-24bf-70ff-9531-000000000000"
    told = box.event("audit.command", command=command, verb="capture", result="done", by="/operators/duty-desk")
    asked = box.say("event/audit", told)
    for cause, row, name in ((scan, scan, "desk"), (command, asked, "gate")):
        files = films(desk, cause, name, "mjpeg", at_of(code) - 1.5, 2)
        shown = page.locator(f'[data-testid=event][data-id="{row}"]')
        shown.locator("summary").click()
        shows(page, name, files[1])


def test_the_evidence_is_in_both_languages_and_no_wider_than_a_small_screen(page: Page, desk: Desk) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    case, at_s = pressed(desk, page)
    films(desk, case, "front", "h264", at_s - 4.5, 8)
    tells(desk, case, "yard", last=True)
    expect(camera(page, "front").get_by_test_id("piece")).to_have_count(8)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("#language").click()
    expect(camera(page, "yard")).to_contain_text("摄像头 yard 没有影像证据")
    expect(page.get_by_test_id("play")).to_have_text("播放")
    expect(camera(page, "front").locator("[data-side=press]")).to_have_text("按下")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert "page." not in page.inner_text("body")


def test_only_files_of_cases_on_the_desk_are_served_and_as_pictures_alone(page: Page, desk: Desk) -> None:
    case, at_s = pressed(desk, page)
    [file, later] = clip("h264", 2, at_s)
    tells(desk, case, "front", file, later)
    desk.box.upload(file)
    shows(page, "front", file)
    base = f"{desk.central.url}evidence/{desk.box.name}"
    kinds = {"thumb.jpg": "image/jpeg", "first.jpg": "image/jpeg", "pictures": "application/octet-stream"}
    for what, kind in kinds.items():
        with urlopen(f"{base}/{case}/{file.sha256}/{what}", timeout=DEADLINE_S) as answer:  # noqa: S310
            assert answer.headers["content-type"] == kind
            assert answer.headers["x-content-type-options"] == "nosniff" and answer.read()
    for path in (
        f"{case}/{file.sha256}/file",
        f"another/{file.sha256}/first.jpg",
        f"{case}/{later.sha256}/first.jpg",  # not whole
        f"{case}/{'0' * 64}/first.jpg",
        f"{case}/..%2f..%2fcentral.db/first.jpg",
    ):
        with pytest.raises(HTTPError) as refused:
            urlopen(f"{base}/{path}", timeout=DEADLINE_S)  # noqa: S310
        assert refused.value.code == 404
