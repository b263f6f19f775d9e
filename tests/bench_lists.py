"""A box on the bench with three code lists, and what it asks of them."""

import pytest
from bench_box import YAML, Bench

from agent.lists_mail import ListsStand, LookedUp, LookUp

MAY_LIST = YAML.replace("may: [", "may: [list, ")
LISTED = f"""\
{MAY_LIST.replace("kind: scan}", "kind: scan, lists: [tickets, stolen, lost]}")}\
key_file: /nowhere/site
lists:
  - {{name: tickets, kind: allow}}
  - {{name: stolen, kind: watch}}
  - {{name: lost, kind: watch, hashed: true}}
"""
ALL = {"tickets": 3, "stolen": 0, "lost": 7}


@pytest.fixture
def bench() -> Bench:
    """The lists were brought."""
    made = Bench(LISTED)
    made.connect()
    made.say(ListsStand(ALL, ""))
    return made


def question(bench: Bench) -> LookUp:
    asked = bench.asked.pop(0)
    assert isinstance(asked, LookUp)
    return asked


def answer(bench: Bench, *found: str, reason: str = "") -> None:
    bench.say(LookedUp(question(bench).ref, found, reason))
