"""How the operator page is served: no other page can command, it loads nothing from elsewhere, and lacks no text."""

import json
import re
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from duty_desk import DEADLINE_S, Desk, desk

from agent.text import catalogue
from simulators.central.web import PAGE

__all__ = ["desk"]  # a fixture
pytestmark = pytest.mark.real


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Host": "evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Content-Type": "text/plain"},
    ],
)
def test_a_foreign_page_cannot_command(desk: Desk, headers: dict[str, str]) -> None:
    body = json.dumps({"box": desk.box.name}).encode()
    request = Request(f"{desk.central.url}api/test", body, {"Content-Type": "application/json", **headers})  # noqa: S310
    with pytest.raises(HTTPError) as refused:
        urlopen(request, timeout=DEADLINE_S)  # noqa: S310
    assert refused.value.code in (403, 409)
    assert desk.box.commands == []


def test_every_text_that_the_page_asks_for_is_there() -> None:
    source = "".join((PAGE / name).read_text() for name in ("page.js", "evidence.js", "index.html"))
    asked = set(re.findall(r"""["'`](page\.[a-z_]+(?:\.[a-z_]+)*)["'`]""", source))
    groups = set(re.findall(r"(page\.[a-z_]+(?:\.[a-z]+)*[._])\$\{", source))
    assert len(asked) > 60 and len(groups) > 5
    assert asked - set(catalogue()) == set()
    assert [group for group in groups if not any(key.startswith(group) for key in catalogue())] == []


def test_the_page_may_load_nothing_from_elsewhere(desk: Desk) -> None:
    with urlopen(desk.central.url, timeout=DEADLINE_S) as answer:  # noqa: S310
        policy = answer.headers["content-security-policy"]
        text = answer.read().decode()
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
    assert not re.search(r"https?://(?!www\.w3\.org)", text)
