"""The page of an export in a real Chromium: what it says, in both languages, wide, narrow and printed."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from clips import needs_ffmpeg
from duty_desk import browser, needs_chromium, watched
from evidence_case import CASE, Scene, exported, jpeg, recording, whole
from playwright.sync_api import Browser, Page, expect

__all__ = ["browser"]  # a fixture
pytestmark = [pytest.mark.real, needs_chromium, needs_ffmpeg]
XSS = '<img src=x onerror="document.body.dataset.hurt=1"><script>document.body.dataset.hurt=1</script>'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export with a file that is missing."""
    folder = tmp_path_factory.mktemp("page")
    scene = whole(folder / "box")
    next(iter(sorted(scene.media.iterdir()))).unlink()
    assert exported(scene, folder / "out")[0] == 1
    return folder / "out"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with watched(browser) as page:
        yield page


def open_page(page: Page, folder: Path) -> None:
    page.goto((folder / "index.html").as_uri())


def test_the_page_tells_the_case_from_the_press_to_its_end(page: Page, folder: Path) -> None:
    open_page(page, folder)
    expect(page.locator("h1")).to_contain_text("Panic button: Pressed")
    expect(page.locator("header")).to_contain_text(CASE)
    steps = page.locator(".steps li")
    expect(steps).to_contain_text(["01:34:41.323 UTC", "event 3", "unknown", "01:35:22.323 UTC", "01:49:53.323 UTC"])
    rows = page.locator("table").first.locator("tr")
    expect(rows).to_have_count(10)
    expect(rows.nth(7)).to_contain_text("Pressed again (2)")
    expect(rows.nth(8)).to_contain_text("/operators/duty-desk, a patrol is on its way")


def test_what_is_wrong_is_on_top_with_its_number_and_below_with_its_name(page: Page, folder: Path) -> None:
    open_page(page, folder)
    expect(page.locator(".verdict")).to_contain_text("Not whole. Problems: 1")
    expect(page.locator(".checks li.bad")).to_have_count(2)
    expect(page.locator(".checks li.bad").first).to_contain_text("is not in the folder of evidence")
    expect(page.locator(".pictures .none")).to_have_count(1)
    expect(page.locator("tr.bad")).to_contain_text("missing")


def test_the_film_plays_in_the_browser_with_its_length_and_its_gap(page: Page, folder: Path) -> None:
    open_page(page, folder)
    video = page.locator("video")
    expect(video).to_have_count(1)
    loaded = "v => v.readyState > 0 ? v.duration : new Promise(done => v.onloadedmetadata = () => done(v.duration))"
    assert 3.9 < video.evaluate(loaded) < 5.1
    sought = "v => new Promise(done => { v.onseeked = () => done(v.currentTime); v.currentTime = 4.5; })"
    assert video.evaluate(sought) == pytest.approx(4.5, abs=0.01)
    assert page.locator(".pictures img").first.evaluate("i => i.decode().then(() => i.naturalWidth)") == 160


def test_one_button_turns_everything_into_chinese_and_back(page: Page, folder: Path) -> None:
    open_page(page, folder)
    english = page.locator("main").inner_text()
    assert not re.search("[\u4e00-\u9fff]", english.replace("中文", ""))
    page.locator("button").click()
    chinese = page.locator("main").inner_text()
    assert "紧急报警" in chinese and "核验情况" in chinese and "What was checked" not in chinese
    page.locator("button").click()
    assert page.locator("main").inner_text() == english


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_hangs_over_the_side(page: Page, folder: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    open_page(page, folder)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_on_paper_are_the_pictures_and_no_player_and_no_button(page: Page, folder: Path) -> None:
    open_page(page, folder)
    page.emulate_media(media="print")
    expect(page.locator("video")).to_be_hidden()
    expect(page.locator("button")).to_be_hidden()
    expect(page.locator(".pictures img").first).to_be_visible()


def test_the_page_loads_nothing_from_anywhere(page: Page, folder: Path) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    open_page(page, folder)
    page.locator("video").evaluate("v => v.readyState > 0 || new Promise(done => v.onloadedmetadata = done)")
    assert {url for url in asked if not url.startswith("data:")} == {
        (folder / name).as_uri() for name in ("index.html", "front.mp4")
    }


def test_of_a_long_case_some_pictures_are_shown_and_the_page_says_of_how_many(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.export.SHOWN_MAX", 2)
    scene = Scene(tmp_path / "box")
    scene.press()
    scene.clip("front", "h264")
    scene.write()
    exported(scene, tmp_path / "out")
    open_page(page, tmp_path / "out")
    expect(page.locator(".pictures img")).to_have_count(2)
    expect(page.locator("main")).to_contain_text("Of 5 files 2 are shown here")


def test_a_confirmation_is_called_one_and_no_press(page: Page, tmp_path: Path) -> None:
    scene = Scene(tmp_path / "box")
    scene.press()
    more = {"transition": "raised", "input": "lid", "case": CASE, "because": "tamper"}
    scene.record("alarm.confirmed", 1, more)
    scene.write()
    exported(scene, tmp_path / "out")
    open_page(page, tmp_path / "out")
    expect(page.locator("main")).to_contain_text("Confirmed hold-up")
    expect(page.locator("main")).not_to_contain_text("Confirmed hold-up: Pressed")


def test_where_a_car_was_stands_beside_each_event_that_knows_it(page: Page, tmp_path: Path) -> None:
    scene = Scene(tmp_path / "box")
    scene.press()
    known = {"lat": 31.2304, "lon": 121.4737, "age_s": 0.8}
    for place in (known, {"stale": True}, {"lat": XSS, "lon": 1}, {"lat": 10**15, "lon": 1}):
        more = {"transition": "raised", "input": "alarm-1", "case": CASE, "count": 2, "position": place}
        scene.record("alarm.panic", 1, more)
    scene.write()
    exported(scene, tmp_path / "out")
    open_page(page, tmp_path / "out")
    expect(page.get_by_text("at 31.230400 121.473700")).to_have_count(1)
    expect(page.get_by_text("place not known")).to_have_count(3)


def test_what_comes_from_outside_is_text(page: Page, tmp_path: Path) -> None:
    scene = Scene(tmp_path / "box")
    scene.record("alarm.panic", 0, {"transition": "raised", "input": XSS, "case": CASE, "count": XSS}, id=CASE)
    scene.evidence(XSS, 1, [scene.store(made, 0) for made in (jpeg(), *recording("mjpeg")[:2])], last=True)
    scene.record("audit.acknowledged", 2, {"case": CASE, "by": XSS, "note": XSS})
    scene.write()
    exported(scene, tmp_path / "out")
    open_page(page, tmp_path / "out")
    expect(page.locator("h3")).to_have_text(XSS)
    assert page.locator("body").get_attribute("data-hurt") is None
