"""`callbox-sim play`: every scenario can be read, one is played to its end, and a wrong one says what is wrong."""

from pathlib import Path

import pytest

from simulators.cli import main
from simulators.play import SCENARIOS, ScenarioError, read

ROOT = Path(__file__).parent.parent
NUMBERS = [path.name.partition("-")[0] for path in sorted(SCENARIOS.glob("*.yaml"))]


def test_each_scenario_is_numbered_and_has_a_title_in_both_languages(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    titles = []
    for language in ("en", "zh"):
        monkeypatch.setenv("CALLBOX_LANG", language)
        assert main(["play"]) == 0
        titles.append(capsys.readouterr().out.splitlines())
    assert [str(number) for number in range(1, len(NUMBERS) + 1)] == NUMBERS
    assert [line[0] for line in titles[0]] == [line[0] for line in titles[1]] == NUMBERS
    assert not set(titles[0]) & set(titles[1])


@pytest.mark.real
def test_a_robbery_with_a_cut_line_comes_out_as_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["play", "2"]) == 0, capsys.readouterr()


@pytest.mark.soak
@pytest.mark.real
@pytest.mark.parametrize("number", NUMBERS)
def test_every_scenario_comes_out_as_it_says(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["play", number]) == 0, capsys.readouterr()


@pytest.mark.real
def test_what_does_not_come_out_is_named_with_its_step_and_its_files_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (SCENARIOS / "1-quiet-night.yaml").read_text(encoding="utf-8")
    steps = text.index("steps:")
    file = tmp_path / "wrong.yaml"
    file.write_text(f"{text[:steps]}steps:\n  - press: alarm-1\n  - never: alarm\n", encoding="utf-8")
    assert main(["play", str(file)]) == 1
    said = capsys.readouterr().err
    assert "step 2 (never: alarm) did not come out: recorded was callbox.alarm.panic" in said
    assert Path(said.partition("kept in ")[2].partition(" ")[0]).is_dir()


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ("[]: 1", "no YAML"),
        ("{title: {en: a, zh: b}, box: {}}", "`title`, `box` and `steps`"),
        ("{title: {en: a, zh: b}, box: {}, steps: [{jump: 1}]}", "step 1: found {'jump': 1}"),
        ("{title: {en: a, zh: b}, box: {}, steps: [{wait_s: 1}, {press: 5}]}", "step 2: found {'press': 5}"),
        ("{title: {en: a, zh: b}, box: {}, steps: [press]}", "step 1: found press"),
    ],
)
def test_a_file_that_is_no_scenario_is_refused_by_its_step(tmp_path: Path, steps: str, said: str) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(steps, encoding="utf-8")
    with pytest.raises(ScenarioError) as error:
        read(file)
    assert str(file) in str(error.value) and said in str(error.value)
