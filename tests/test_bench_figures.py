"""The words and the picture that the bench makes of its numbers."""

from pathlib import Path

import pytest
from bench.figures import Row, bounded, digits, grid, ms, quantile, spread, table


def test_a_quantile_is_one_of_the_values_by_nearest_rank() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert [quantile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1, 50, 99, 100]
    assert quantile([7.0], 0.99) == 7
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2
    with pytest.raises(ValueError, match="no values"):
        quantile([], 0.5)


def test_numbers_keep_three_digits_that_count() -> None:
    assert [digits(value) for value in (0.1234, 1.2345, 12.345, 123.45, 1234.5, 98765.4)] == [
        "0.12",
        "1.23",
        "12.3",
        "123",
        "1,230",
        "98,800",
    ]


def test_seconds_are_told_as_median_and_99th_percentile_in_ms() -> None:
    assert ms([0.001] * 98 + [0.02, 0.5]) == "1.00 / 20.0 ms"
    assert ms([]) == "-"


def test_runs_are_told_as_median_and_range() -> None:
    assert spread([300.0, 100.0, 2000.0], "/s") == "300 (100 to 2,000) /s"
    assert spread([1234.0], "/s") == "1,230 /s"
    assert spread([]) == "-"


def test_a_limit_says_whether_it_is_kept() -> None:
    assert bounded(0.9, "at least", 0.9) == ("at least 0.9", True)
    assert bounded(0.89, "at least", 0.9) == ("at least 0.9", False)
    assert bounded(5.0, "at most", 5) == ("at most 5", True)
    assert bounded(5.1, "at most", 5) == ("at most 5", False)


def test_a_table_is_aligned_and_names_what_is_not_met() -> None:
    rows = [
        Row("drain", "9,000 /s", "bare paho", 0.5, *bounded(0.5, "at least", 0.9)),
        Row("alarm", "1.00 / 2.00 ms"),
    ]
    assert table(rows) == [
        "|       |       measured | beside    | ratio | limit        | met    |",
        "| ----- | -------------: | --------- | ----: | ------------ | ------ |",
        "| drain |       9,000 /s | bare paho | 0.50x | at least 0.9 | **no** |",
        "| alarm | 1.00 / 2.00 ms |           |       |              |        |",
    ]


def test_chinese_takes_two_columns() -> None:
    assert grid(["名"], [["ab"], ["报警"]]) == ["| 名   |", "| ---- |", "| ab   |", "| 报警 |"]


def test_the_picture_names_every_peer_and_its_numbers_and_is_the_same_twice(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra `bench` (matplotlib) is not installed")
    from bench.plot import draw

    drains = {"Callbox, one a message": [9000.0, 11000.0], "bare paho": [10000.0]}
    for file in (tmp_path / "one.svg", tmp_path / "two.svg"):
        draw(file, drains, {"Callbox, one a message": [0.002, 0.004]}, ["Callbox, one a message"], [5, 20])
    picture = (tmp_path / "one.svg").read_text()
    words = (*drains, "10,000", "2.00 / 4.00", " 5 ms ", " 20 ms ")
    assert [word for word in words if f"<!-- {word} -->" not in picture] == []
    assert (tmp_path / "two.svg").read_text() == picture
