"""`callbox verify` and `callbox events` over a real journal from which events went, and in which some are parked."""

from pathlib import Path
from typing import Any

import pytest
from written import SIGNER, Written

from agent import reader as reader_module
from agent.cli import main
from agent.mail import Write
from agent.reader import Reader


def verify(box: Written, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    code, found = box.told(capsys, "verify")
    assert code == (1 if found["problem"] else 0)
    return found


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Written:
    monkeypatch.setenv("CALLBOX_LANG", "en")
    made = Written(tmp_path)
    made.write(count=20)
    return made


def test_a_journal_from_which_events_went_is_whole(box: Written, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(box, capsys) == {
        "journal": box.journal.name,
        "problem": None,
        "events": 20,
        "last": 20,
        "holes": 0,
        "gone": 0,
    }
    box.write(delivered=((1, 6), (9, 12)))
    box.prune()
    box.write(delivered=((7, 8), (14, 20)))
    box.prune()
    found = verify(box, capsys)
    assert (found["problem"], found["events"], found["last"]) == (None, 5, 24)
    assert (found["holes"], found["gone"]) == (2, 19)
    code, out = box.run(capsys, "verify")
    assert (code, len(out.splitlines())) == (0, 2)
    assert "19 events in 2 holes" in out


def test_a_row_in_the_table_of_holes_proves_nothing(box: Written, capsys: pytest.CaptureFixture[str]) -> None:
    hole = box.journal._with_neighbours((3, 5))
    box.journal.write([Write(prune=(hole,))])
    assert verify(box, capsys)["problem"] == "seq 3: missing (the next one is 6)"
    box.write("audit.pruned", {"cause": "days", "count": 3, "holes": [list(hole)]})
    box.journal._sql.execute("DELETE FROM pruned")
    assert verify(box, capsys)["problem"] is None


def test_what_goes_while_it_is_read_is_no_fault(box: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before every page more goes: behind the reader, under it and before it."""
    monkeypatch.setattr(reader_module, "PAGE_ROWS", 3)
    box.write(count=20, delivered=((1, 39),))
    reader = Reader(box.state_dir)
    pages = [(2, 3), (4, 8), (1, 1), (9, 9), (16, 20), (21, 21), (12, 15), (22, 30)]

    class Between:
        """The reader's connection; somebody prunes before each of its pages."""

        def execute(self, query: str, *values: Any) -> Any:
            if "LIMIT" in query and pages:
                box.prune(box.journal._with_neighbours(pages.pop(0)))
            return sql.execute(query, *values)

    sql, reader._sql = reader._sql, Between()  # type: ignore[assignment]
    check = reader.checked(SIGNER.public)
    assert pages == []
    assert check.problem is None
    assert check.holes
    sql.close()


def test_what_is_missing_is_found_however_much_comes_meanwhile(box: Written) -> None:
    box.journal._sql.execute("DELETE FROM events WHERE seq=5")
    reader = Reader(box.state_dir)
    assert reader.checked(SIGNER.public).problem == "seq 5: missing (the next one is 6)"
    reader.close()


# ---- parked


def test_what_is_parked_is_shown_with_its_reason(box: Written, capsys: pytest.CaptureFixture[str]) -> None:
    box.write(parked={3: "central: too large", 21: "70000 bytes are too many for this broker"})
    code, out = box.run(capsys, "events", "--parked")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["3", "parked:", "21", "parked:"]
    assert "central: too large" in out and "too many for this broker" in out
    assert len(box.run(capsys, "events", "--parked", "--class", "alarm")[1]) == 0


def test_parked_events_are_printed_to_machines_as_they_are_stored(
    box: Written, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    box.write(parked={3: "central: too large"})
    assert main(["events", "--state-dir", str(box.state_dir), "--parked", "--json"]) == 0
    assert capfdbinary.readouterr().out == box.body(3) + b"\n"


@pytest.mark.parametrize("body", [b"\xff\x00", b"[]", b'{"data": 7}', b"{}"])
def test_an_event_whose_bytes_were_changed_stops_no_list(
    box: Written, capsys: pytest.CaptureFixture[str], body: bytes
) -> None:
    box.write(parked={3: "its bytes were changed on the disk"})
    box.change("UPDATE events SET body=? WHERE seq=3", body)
    code, out = box.run(capsys, "events", "--parked")
    assert code == 0
    assert f"3  {len(body)} bytes that cannot be read" in out
    assert len(box.run(capsys, "events")[1].splitlines()) == 21
