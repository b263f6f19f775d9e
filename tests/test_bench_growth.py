"""The bench's figures of growth: what is filled, what is compared, what counts as a library."""

from contextlib import closing
from pathlib import Path

from bench.journal_cost import SEALED, fill, growth
from bench.start_cost import libraries

from agent.journal import FILE, Journal
from agent.mail import Fetch

LOG = """\
import time:       100 |        100 |   encodings
import time:       200 |        300 | site
import time:       100 |        100 |     yaml.error
import time:       200 |        300 |   yaml
import time:       100 |        400 | agent.config
INFO armed: 4 inputs, journal 5f0c2a9e at 1
import time:       100 |        100 |   paho
import time:       100 |        100 | agent.mqtt
"""


def test_a_filled_journal_owes_every_event_once_under_a_number_of_its_own(tmp_path: Path) -> None:
    fill(tmp_path / FILE, 3 * SEALED)
    with closing(Journal(tmp_path / FILE)) as journal:
        assert journal.pending["scan"] == journal.opened().seq == 3 * SEALED
        events, more = journal.fetch(Fetch("scan", 0, 3 * SEALED))
        assert [event.seq for event in events] == [*range(1, 3 * SEALED + 1)]
        assert not more


def test_the_dearest_size_is_held_against_the_cheapest_whichever_they_are() -> None:
    rows = growth({1: {"append": [0.003]}, 10: {"append": [0.002]}, 100: {"append": [0.0026]}})
    assert [(row.ratio, row.met) for row in rows[:2]] == [(1.0, None), (0.002 / 0.003, None)]
    assert (rows[2].ratio, rows[2].beside, rows[2].met) == (1.5, "2.00 ms at 10", False)


def test_libraries_are_what_a_daemon_imports_but_its_own_modules_and_the_interpreter_s() -> None:
    assert libraries(LOG) == ["yaml.error", "yaml", "paho"]
