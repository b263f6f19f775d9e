"""`python tests/pictures.py DIRECTORY` takes the pictures of the README from the real demo.

page-en.png, page-zh.png, and beside them narrow ones and the page at rest.
"""

import signal
import subprocess
import sys
from pathlib import Path

from duty_desk import DEADLINE_S, chromium
from playwright.sync_api import Browser, Page, expect


def pictures(directory: Path) -> None:
    """Of the real demo in the middle of its work: each language, wide and narrow, and the desk at rest."""
    demo = subprocess.Popen(
        [sys.executable, "-m", "agent.cli", "demo", "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    assert demo.stdout is not None
    url = next(word for line in demo.stdout for word in line.split() if word.startswith("http://"))
    try:
        with chromium() as browser:
            page = shot(browser, url, "en", 1280)
            page.screenshot(path=directory / "page-at-rest.png")
            page.locator("[data-testid=press][data-input=alarm-1]").click()
            act(page, "panic", "close", "A child at play, the mother was there")
            expect(page.get_by_test_id("closed-case")).to_have_count(1)
            page.locator("[data-testid=press][data-input=door]").click()
            act(page, "tamper", "acknowledge", "Patrol 3 is on the way")
            expect(page.locator("[data-testid=case][data-state=acknowledged]")).to_have_count(1)
            page.locator("[data-testid=press][data-input=door]").click()
            page.locator("#scan-code").fill("TICKET-0042")
            page.keyboard.press("Enter")
            page.locator("[data-testid=press][data-input=counter]").click()
            expect(page.locator("[data-testid=case][data-kind=holdup]")).to_have_count(1)
            for count in ("1", "2"):
                page.locator("[data-testid=press][data-input=alarm-1]").click()
                expect(page.locator("[data-kind=panic][data-testid=case]")).to_have_attribute("data-count", count)
            for lang in ("en", "zh"):
                for name, width in ((f"page-{lang}", 1280), (f"page-{lang}-narrow", 390)):
                    page = shot(browser, url, lang, width)
                    page.screenshot(path=directory / f"{name}.png", full_page=width == 390)
    finally:
        demo.send_signal(signal.SIGINT)
        demo.wait()


def act(page: Page, kind: str, action: str, note: str) -> None:
    page.locator(f"[data-testid=case][data-kind={kind}] [data-action={action}]").click()
    page.locator("#note").fill(note)
    page.keyboard.press("Enter")


def shot(browser: Browser, url: str, lang: str, width: int) -> Page:
    """The page, its sound on, in a moment when a lamp is lit (at rest none is)."""
    locale = {"en": "en-GB", "zh": "zh-CN"}[lang]
    page = browser.new_context(viewport={"width": width, "height": 1000}, locale=locale).new_page()
    page.goto(url)
    expect(page.locator("[data-testid=box][data-link=online]")).to_be_visible(timeout=DEADLINE_S * 1000)
    page.locator("h1").click()  # as a person would: from the first click on it may sound
    expect(page.locator("#sound")).to_have_attribute("data-sound", "on")
    if page.get_by_test_id("case").count():
        expect(page.locator("[data-lamp=green]")).to_have_attribute("data-lit", "true", timeout=DEADLINE_S * 1000)
    return page


if __name__ == "__main__":
    pictures(Path(sys.argv[1]))
