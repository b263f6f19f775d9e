"""A link as it is when the box has started, and its way to a session."""

import random

from agent.link import Link, Open

RETRY_MAX_S = 25.0
SPARE_S = 60.0


def link(links: int = 1, seed: int = 1) -> Link:
    made = Link(links, RETRY_MAX_S, SPARE_S, random.Random(seed))
    made.start(0.0)
    return made


def opened(made: Link, now_s: float) -> Open:
    decisions = made.tick(now_s, None, None)
    assert [type(decision) for decision in decisions] == [Open], decisions
    assert isinstance(decisions[0], Open)
    return decisions[0]


def retry_s(made: Link, now_s: float) -> float:
    due_s = made.due_s(None, None)
    assert due_s is not None
    return due_s - now_s


def stands(made: Link, now_s: float, over: int = 0) -> None:
    """A session stands over this link, after those before it refused."""
    for at in range(over + 1):
        assert opened(made, now_s).link == at
        if at < over:
            made.down(now_s, "refused")
    made.up(now_s)
