"""The operator page in a real headless Chromium, on a central with a real broker and a box made by hand."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from duty_desk import Desk, WireBox, browser, desk, needs_chromium, watched
from playwright.sync_api import Browser, Page, expect

__all__ = ["browser", "desk"]  # fixtures
pytestmark = [pytest.mark.real, needs_chromium]

LONG_URL = "mqtts://the-second-broker.of-the-district.central-station.jiangyang.example:8883"
XSS = '<img src=x onerror="document.body.dataset.hurt=1"><script>document.body.dataset.hurt=1</script>'


@pytest.fixture
def page(browser: Browser, desk: Desk) -> Iterator[Page]:
    with watched(browser, fails=["409"]) as page:
        page.goto(desk.central.url)
        expect(page.locator("body[data-link=live]")).to_be_attached()
        expect(page.get_by_test_id("box")).to_have_attribute("data-link", "online")
        yield page


def card(page: Page, case: str) -> Any:
    return page.locator(f'[data-testid=case][data-case="{case}"]')


def rings(page: Page) -> int:
    return int(page.evaluate("document.body.dataset.rings"))


def test_an_alarm_appears_by_itself_and_rings(page: Page, desk: Desk) -> None:
    expect(page.locator("#calm")).to_be_visible()
    case = desk.box.alarm(desk.box.press())
    expect(card(page, case)).to_have_attribute("data-state", "open")
    expect(card(page, case)).to_contain_text("Panic button")
    expect(card(page, case)).to_contain_text("Baita Road kiosk")
    expect(page.locator("#tally")).to_contain_text("1 not acknowledged")
    expect(page.locator("#says")).to_contain_text("New alarm: Panic button")
    expect(page.locator("#calm")).to_be_hidden()
    expect(page.locator("body")).to_have_attribute("data-rings", re.compile("[1-9]"))


def test_an_alarm_is_acknowledged_and_closed_by_keyboard_alone(page: Page, desk: Desk) -> None:
    case = desk.box.alarm(desk.box.press())
    expect(card(page, case)).to_be_visible()
    page.keyboard.press("j")
    expect(card(page, case)).to_be_focused()
    page.keyboard.press("a")
    expect(page.locator("#note")).to_be_focused()
    page.keyboard.type("patrol 3 goes, ac jk")
    page.keyboard.press("Enter")
    expect(card(page, case)).to_have_attribute("data-state", "acknowledged")
    expect(card(page, case).get_by_test_id("note")).to_have_text("patrol 3 goes, ac jk")
    expect(card(page, case)).to_contain_text("by duty-desk")
    expect(page.locator("#note-dialog")).to_be_hidden()
    page.keyboard.press("c")
    expect(page.locator("#note")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#note-dialog")).to_be_hidden()
    assert [command["type"] for command in desk.box.commands] == ["callbox.command.acknowledge"]
    page.keyboard.press("c")
    expect(page.locator("#note")).to_be_focused()
    page.keyboard.press("Enter")
    expect(card(page, case)).to_have_count(0)
    closed = page.locator(f'[data-testid=closed-case][data-case="{case}"]')
    closed.locator("summary").click()
    expect(closed.get_by_test_id("timeline")).to_contain_text("patrol 3 goes")
    expect(closed.get_by_test_id("timeline").locator("li")).to_have_count(6)


def test_a_further_press_makes_an_acknowledged_alarm_loud_again(page: Page, desk: Desk) -> None:
    case = desk.box.alarm(desk.box.press())
    desk.box.audit("acknowledged", case=case, by="/operators/duty-desk", note="")
    expect(card(page, case)).to_have_attribute("data-state", "acknowledged")
    before = rings(page)
    desk.box.alarm(desk.box.press(case=case, count=2))
    expect(card(page, case)).to_have_attribute("data-state", "open")
    expect(card(page, case)).to_contain_text("×2")
    assert rings(page) > before


def test_the_newest_alarm_that_nobody_has_seen_is_on_top(page: Page, desk: Desk) -> None:
    first = desk.box.alarm(desk.box.press())
    expect(card(page, first)).to_be_visible()
    second = desk.box.alarm(desk.box.event("alarm.fire", transition="raised", cid=110, count=1, input="hall"))
    expect(card(page, second)).to_be_visible()
    desk.box.audit("acknowledged", case=second, by="/operators/duty-desk", note="")
    expect(card(page, second)).to_have_attribute("data-state", "acknowledged")
    assert [c.get_attribute("data-case") for c in page.get_by_test_id("case").all()] == [first, second]


def test_a_listed_code_names_its_list_and_a_missed_round_its_patrol(page: Page, desk: Desk) -> None:
    listed: dict[str, Any] = {"transition": "raised", "cid": 140, "input": "desk", "lists": ["stolen", "lost"]}
    case = desk.box.alarm(desk.box.event("alarm.listed", count=1, **listed))
    expect(card(page, case)).to_contain_text("Listed code scanned")
    expect(card(page, case)).to_contain_text("stolen, lost")
    desk.box.say("event/trouble", desk.box.event("trouble.patrol", transition="raised", patrol="night", reason="late"))
    missed = page.locator("[data-testid=event][data-type='callbox.trouble.patrol']")
    expect(missed).to_contain_text("Trouble: missed round")
    expect(missed).to_contain_text("night")
    page.locator("#language").click()
    expect(missed).to_contain_text("漏巡")
    expect(card(page, case)).to_contain_text("扫到名单中的号码")


def test_what_comes_from_outside_is_text(page: Page, desk: Desk) -> None:
    evil = desk.add_box(WireBox(name="jiangyang/evil", journal="evil"))
    evil.say("state", evil.state("s2", name=XSS, trouble=[XSS], inputs={XSS: {"value": XSS, "quality": XSS}}))
    case = evil.alarm(evil.event("alarm.listed", transition="raised", cid=140, count=1, input=XSS, code=XSS))
    evil.say("event/scan", evil.event("scan.code", code=XSS))
    expect(card(page, case)).to_contain_text(XSS)
    page.keyboard.press("j")
    page.keyboard.press("a")
    page.locator("#note").fill(XSS)
    page.keyboard.press("Enter")
    expect(card(page, case).get_by_test_id("note")).to_have_text(XSS)
    expect(page.locator("#note-dialog")).to_be_hidden()
    page.keyboard.press("h")
    expect(card(page, case).get_by_test_id("timeline")).to_contain_text(XSS)
    page.keyboard.press("l")
    expect(card(page, case).get_by_test_id("note")).to_have_text(XSS)
    assert page.evaluate("document.body.dataset.hurt") is None
    assert page.locator("img").count() == 0


def test_both_languages_and_the_choice_is_remembered(page: Page, desk: Desk) -> None:
    case = desk.box.alarm(desk.box.event("alarm.holdup", transition="raised", cid=122, count=1, input="counter"))
    expect(card(page, case)).to_contain_text("Silent at the place: do not call back")
    page.locator("#language").click()
    expect(card(page, case)).to_contain_text("抢劫报警")
    expect(card(page, case)).to_contain_text("现场静默：请勿回拨")
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    page.reload()
    expect(card(page, case)).to_contain_text("待确认")
    page.keyboard.press("l")
    expect(card(page, case)).to_contain_text("NOT ACKNOWLEDGED")
    assert "page." not in page.inner_text("body")


def test_a_hold_up_that_tamper_confirmed_says_so_and_counts_one_press(page: Page, desk: Desk) -> None:
    case = desk.box.alarm(desk.box.press())
    desk.box.alarm(
        desk.box.event("alarm.confirmed", transition="raised", cid=129, case=case, input="lid", because="tamper")
    )
    expect(card(page, case)).to_contain_text("confirmed by a second press or by tamper")
    expect(card(page, case)).to_have_attribute("data-count", "1")
    card(page, case).locator("[data-action=history]").click()
    expect(card(page, case)).to_contain_text("Confirmed hold-up")


def test_an_alarm_of_a_car_says_where_it_was_and_whether_it_is_there_still(page: Page, desk: Desk) -> None:
    case = desk.box.alarm(desk.box.press(position={"lat": 31.2304, "lon": 121.4737, "age_s": 0.8}))
    expect(card(page, case).get_by_test_id("where")).to_have_text("at 31.230400 121.473700")
    desk.box.alarm(desk.box.press(case, 2, position={"lat": 31.24, "lon": 121.48, "age_s": 95.0, "stale": True}))
    expect(card(page, case).get_by_test_id("where")).to_have_text("last known at 31.240000 121.480000")
    desk.box.alarm(desk.box.press(case, 3, position={"stale": True}))
    expect(card(page, case).get_by_test_id("where")).to_have_text("place not known")
    page.locator("#language").click()
    expect(card(page, case).get_by_test_id("where")).to_have_text("位置未知")
    expect(card(page, desk.box.alarm(desk.box.press())).get_by_test_id("where")).to_have_count(0)


def test_history_after_an_outage_is_quiet_and_a_late_alarm_rings_once(page: Page, desk: Desk) -> None:
    box = desk.box
    scan, press = box.event("scan.code", ago_s=95, code="A-1"), box.press(ago_s=80)
    box.say("state", box.state("after-the-outage"), retain=True)
    scan_id = box.say("event/scan", scan)
    row = page.locator(f'[data-testid=event][data-id="{scan_id}"]')
    expect(row).to_have_attribute("data-replayed", "true")
    expect(row).to_contain_text("replayed")
    assert rings(page) == 0
    case = box.alarm(press)
    expect(card(page, case)).to_contain_text("Late by 1 min 2")
    expect(page.locator("body")).to_have_attribute("data-rings", "1")
    box.alarm(press)
    after = box.say("event/scan", box.event("scan.code", code="A-2"))
    expect(page.locator(f'[data-testid=event][data-id="{after}"]')).to_be_visible()
    assert rings(page) == 1


def test_the_bell_goes_on_until_a_person_answers_but_not_for_what_came_late(page: Page, desk: Desk) -> None:
    box = desk.box
    page.clock.install()
    page.reload()
    press = box.press(ago_s=80)
    box.say("state", box.state("after-the-outage"), retain=True)
    late = box.alarm(press)
    expect(card(page, late)).to_be_visible()
    page.clock.run_for(10_000)
    assert rings(page) == 1
    live = box.alarm(box.event("alarm.fire", transition="raised", cid=110, count=1, input="hall"))
    expect(card(page, live)).to_be_visible()
    assert rings(page) == 2
    page.clock.run_for(10_000)
    assert rings(page) == 3
    box.audit("acknowledged", case=live, by="/operators/duty-desk", note="")
    expect(card(page, live)).to_have_attribute("data-state", "acknowledged")
    page.clock.run_for(10_000)
    assert rings(page) == 3


def test_what_is_no_more_at_the_box_is_told_in_words(page: Page, desk: Desk) -> None:
    box = desk.box
    pruned: list[dict[str, Any]] = [
        {"cause": "days", "count": 2000},
        {"cause": "disk", "count": 7, "undelivered": 3},
    ]
    told = [box.say("event/audit", box.event("audit.pruned", holes=[[1, 7, "h"]], **data)) for data in pruned]
    old, lost = (page.locator(f'[data-testid=event][data-id="{id_}"] .what') for id_ in told)
    expect(old).to_have_text("2000 events deleted at the box: older than the config keeps them")
    expect(lost).to_contain_text("7 events deleted at the box: the disk was full")
    expect(lost.locator(".mark.warn")).to_have_text("3 of them never reached central and are lost")
    page.locator("#language").click()
    expect(old).to_have_text("报警箱删除了 2000 条事件：超过配置的保存期限")
    expect(lost.locator(".mark.warn")).to_have_text("其中 3 条从未送达中心，已丢失")


def test_each_trouble_says_what_it_is_about(page: Page, desk: Desk) -> None:
    box = desk.box
    box.say("state", box.state(trouble=["clock", f"link {LONG_URL}", "storage", "stuck alarm-1"]), retain=True)
    shown = page.get_by_test_id("box").locator("[data-trouble]")
    expect(shown).to_have_text(["clock", f"link: {LONG_URL}", "storage", "stuck button: alarm-1"])
    raised = box.event("trouble.link", transition="raised", cid=350, link=LONG_URL, reason="refused; start the broker")
    row = page.locator(f'[data-testid=event][data-id="{box.say("event/trouble", raised)}"] .what')
    expect(row).to_have_text(f"Trouble: link{LONG_URL} · refused; start the broker")
    over = box.event("trouble.storage", transition="restored", cid=307)
    row = page.locator(f'[data-testid=event][data-id="{box.say("event/trouble", over)}"] .what')
    expect(row).to_have_text("Trouble over: storage")


def test_a_press_too_quick_for_the_wire_arrives_in_order(page: Page, desk: Desk) -> None:
    said: list[str] = []
    page.on("request", lambda request: said.append(f"sent {request.post_data}"))
    page.on("requestfinished", lambda _: said.append("answered"))
    with page.expect_event("requestfinished", lambda request: '"down":false' in (request.post_data or "")):
        page.locator("[data-testid=press][data-input=alarm-1]").evaluate(
            "button => { button.dispatchEvent(new KeyboardEvent('keydown', {key: ' '}));"
            " button.dispatchEvent(new KeyboardEvent('keyup', {key: ' '})); }"
        )
    down, up = '{"input":"alarm-1","down":true}', '{"input":"alarm-1","down":false}'
    assert said == [f"sent {down}", "answered", f"sent {up}", "answered"]


def test_a_command_that_the_box_leaves_unanswered_is_shown_so(page: Page, desk: Desk) -> None:
    desk.box.obeys = False
    case = desk.box.alarm(desk.box.press())
    card(page, case).locator("[data-action=acknowledge]").click()
    page.locator("#note-send").click()
    said = card(page, case).get_by_test_id("command")
    expect(said).to_have_attribute("data-status", "sent")
    expect(said).to_have_attribute("data-status", "unanswered")
    expect(card(page, case)).to_have_attribute("data-state", "open")
    desk.box.audit(
        "command", command=desk.box.commanded()["id"], verb="acknowledge", result="refused", reason="expired"
    )
    expect(said).to_contain_text("refused by the box: expired")


def test_an_alarm_that_its_box_does_not_know_can_be_set_aside(page: Page, desk: Desk) -> None:
    desk.box.obeys = False
    case = desk.box.alarm(desk.box.press())
    expect(card(page, case).locator("[data-action=aside]")).to_have_count(0)
    card(page, case).locator("[data-action=close]").click()
    page.locator("#note-send").click()
    expect(card(page, case).get_by_test_id("command")).to_have_attribute("data-status", "sent")
    desk.box.audit(
        "command", command=desk.box.commanded()["id"], verb="close", result="refused", reason="no such alarm"
    )
    card(page, case).locator("[data-action=aside]").click()
    page.locator("#note-send").click()
    expect(card(page, case)).to_have_count(0)
    expect(page.locator(f'[data-testid=closed-case][data-case="{case}"]')).to_be_visible()


def test_a_box_that_goes_and_a_lost_central_are_shown(page: Page, desk: Desk) -> None:
    desk.box.say("state", b'{"online":false,"session":"c0ffee01"}', retain=True)
    expect(page.get_by_test_id("box")).to_have_attribute("data-link", "offline")
    expect(page.get_by_test_id("box")).to_contain_text("Offline")
    desk.close()
    expect(page.locator("body")).to_have_attribute("data-link", "lost")
    expect(page.locator("#banners")).to_contain_text("No connection to central")
    desk._stack.close()


def test_a_central_that_comes_back_finds_the_page_again(page: Page, desk: Desk) -> None:
    before = desk.box.alarm(desk.box.press())
    expect(card(page, before)).to_be_visible()
    page.evaluate("document.body.dataset.rings = 0")
    desk.restart()
    expect(page.locator("body[data-link=live]")).to_be_attached()
    after = desk.box.alarm(desk.box.event("alarm.fire", transition="raised", cid=110, count=1, input="hall"))
    expect(card(page, after)).to_be_visible()
    expect(card(page, before)).to_be_visible()
    expect(page.locator("#banners p")).to_have_count(0)


def test_a_flood_of_alarms_leaves_the_page_quick(page: Page, desk: Desk) -> None:
    for n in range(300):
        desk.box.alarm(desk.box.event("alarm.panic", transition="raised", cid=120, count=1, input=f"alarm-{n}"))
    expect(page.get_by_test_id("case")).to_have_count(300)
    expect(page.get_by_test_id("case").first).to_contain_text("alarm-299")
    page.keyboard.press("j")
    page.keyboard.press("a")
    page.keyboard.press("Enter")
    expect(page.locator("[data-testid=case][data-state=acknowledged]")).to_have_count(1)


def test_the_simulated_box_is_pressed_by_pointer_and_by_keyboard(page: Page, desk: Desk) -> None:
    button = page.locator("[data-testid=press][data-input=alarm-1]")
    button.hover()
    page.mouse.down()
    expect(button).to_have_attribute("data-down", "true")
    page.mouse.up()
    expect(button).to_have_attribute("data-down", "false")
    button.focus()
    page.keyboard.down(" ")
    expect(button).to_have_attribute("data-down", "true")
    page.keyboard.up(" ")
    expect(button).to_have_attribute("data-down", "false")
    page.locator("#scan-code").fill("TICKET-0042")
    page.keyboard.press("Enter")
    expect(page.locator("#scan-code")).to_have_value("")
    assert desk.bench.scanned == ["TICKET-0042"]
    for name in ("link", "power"):
        switch = page.get_by_test_id(f"switch-{name}")
        switch.click()
        expect(switch).to_have_attribute("aria-checked", "false")
        assert desk.bench.state()[name] is False


def test_the_lamps_show_the_level_of_the_pins(page: Page, desk: Desk) -> None:
    lamp = page.locator("[data-testid=lamp][data-lamp=amber]")
    expect(lamp).to_have_attribute("data-lit", "false")
    desk.bench.light("amber", True)
    expect(lamp).to_have_attribute("data-lit", "true")
    expect(lamp).to_contain_text("steady")
    expect(lamp).to_contain_text("recorded on the disk")


def test_nothing_is_wider_than_a_small_screen(page: Page, desk: Desk) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    case = desk.box.alarm(desk.box.press())
    expect(card(page, case)).to_be_visible()
    desk.box.say("state", desk.box.state(trouble=[f"link {LONG_URL}"]), retain=True)
    expect(page.get_by_test_id("box")).to_contain_text(LONG_URL)
    for _ in range(2):
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.locator("#language").click()


def test_a_code_that_would_turn_a_line_around_is_shown_with_its_control_characters(page: Page, desk: Desk) -> None:
    id = desk.box.say("event/scan", desk.box.event("scan.code", code="A\u202e1\x1b[2J\u001d票"))
    row = page.locator(f'[data-testid=event][data-id="{id}"]')
    expect(row).to_contain_text(r"A\u202e1\u001b[2J\u001d票")
