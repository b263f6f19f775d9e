"""The whole way, as a stranger goes it: the demo's own box, broker, link and central, in a real headless Chromium."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from duty_desk import chromium, needs_chromium
from playwright.sync_api import Locator, Page, expect

from simulators.demo import Demo

DEADLINE_MS = 40_000
HOLD_MS = 100  # as long as a hand takes

pytestmark = [pytest.mark.real, needs_chromium]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    with ExitStack() as stack:
        yield Demo(stack, tmp_path, http_port=0)


@pytest.fixture
def page(demo: Demo) -> Iterator[Page]:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900}, locale="en-GB")
        page.set_default_timeout(DEADLINE_MS)
        expect.set_options(timeout=DEADLINE_MS)
        loads: list[str] = []
        page.on("load", lambda _: loads.append(page.url))
        page.goto(demo.central.url)
        yield page
        assert len(loads) == 1, "the page was loaded again"


def lamp(page: Page, color: str) -> Locator:
    return page.locator(f'[data-testid=lamp][data-lamp="{color}"]')


def press(page: Page) -> None:
    page.locator('[data-testid=press][data-input="alarm-1"]').click(delay=HOLD_MS)


def test_first_light(page: Page, demo: Demo) -> None:
    """Press, see it, acknowledge, see green; cut the link, press, see the lamp; restore, see it late; power off, on."""
    case, online = page.get_by_test_id("case"), page.locator("[data-testid=box][data-link=online]")
    expect(online).to_be_visible()
    assert demo.box.armed.wait(DEADLINE_MS / 1000)
    expect(case).to_have_count(0)
    for color in ("amber", "green", "red"):
        expect(lamp(page, color)).to_have_attribute("data-lit", "false")

    press(page)
    expect(lamp(page, "amber")).to_have_attribute("data-lit", "true")
    expect(case).to_have_attribute("data-state", "open")
    expect(case).to_have_attribute("data-count", "1")
    case.locator("[data-action=acknowledge]").click()
    page.locator("#note").fill("on my way")
    page.locator("#note-send").click()
    expect(case).to_have_attribute("data-state", "acknowledged")
    expect(lamp(page, "green")).to_have_attribute("data-lit", "true")
    expect(lamp(page, "amber")).to_have_attribute("data-lit", "false")
    case.locator("[data-action=close]").click()
    page.locator("#note-send").click()
    expect(case).to_have_count(0)
    expect(lamp(page, "green")).to_have_attribute("data-pattern", "dark")

    link = page.get_by_test_id("switch-link")
    link.click()
    expect(link).to_have_attribute("aria-checked", "false")
    press(page)
    expect(lamp(page, "amber")).to_have_attribute("data-pattern", "slow")  # on the disk, and not at central
    expect(case).to_have_count(0)
    link.click()
    expect(case).to_have_attribute("data-state", "open")
    expect(case).to_have_attribute("data-replayed", "true")
    expect(case).to_contain_text(re.compile("replayed|Late by"))
    expect(lamp(page, "amber")).to_have_attribute("data-pattern", "pulse")  # now it is

    power = page.get_by_test_id("switch-power")
    power.click()
    expect(power).to_have_attribute("aria-checked", "false")
    for color in ("amber", "green", "red"):
        expect(lamp(page, color)).to_have_attribute("data-lit", "false")
    expect(page.locator("[data-testid=box]:not([data-link=online])")).to_be_visible()
    expect(case).to_have_attribute("data-state", "open")
    power.click()
    expect(online).to_be_visible()
    expect(lamp(page, "amber")).to_have_attribute("data-pattern", "pulse")  # it has kept the case
    assert demo.box.armed.wait(DEADLINE_MS / 1000)
    press(page)
    expect(case).to_have_attribute("data-count", "2")
