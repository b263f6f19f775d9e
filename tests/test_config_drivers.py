"""Drivers of others in a config: their keys, their own words, and those that cannot be had."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest
from config_file import SMALL, english, file, loaded, mistakes

from agent.config import missing_files
from drivers import registry

__all__ = ["english", "file"]  # fixtures


@dataclass(frozen=True)
class Nothing:
    pass


@dataclass(frozen=True)
class BadgeInput:
    codes: ClassVar[bool] = True
    kind: str
    keys_seen: tuple[int, ...] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        if self.kind == "patrol" and not self.keys_seen:
            raise ValueError("this reader wants something else")


@dataclass(frozen=True)
class ContactInput:
    codes: ClassVar[bool] = False


class Badge:
    Options, Input, Output = Nothing, BadgeInput, None

    def __init__(self, name: str, _options: Nothing, inputs: Mapping[str, BadgeInput], _outputs: object) -> None:
        if len(inputs) > 1:
            raise ValueError(f"found {len(inputs)} inputs on {name}, allowed is one")


class Contact:
    Options, Input, Output = Nothing, ContactInput, None


BADGE = SMALL.replace("type: gpio", "type: badge").replace("pin: 17, ", "")


@pytest.fixture
def badge(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    types = {"badge": Badge, "contact": Contact}
    monkeypatch.setattr(registry, "driver_type", types.__getitem__)
    monkeypatch.setattr(registry, "installed", lambda: sorted(types))
    return iter(())


@pytest.mark.usefixtures("badge")
def test_a_key_of_a_driver_named_as_a_common_one_gets_its_value(file: Path) -> None:
    assert loaded(file, BADGE.replace("panic", "scan")).inputs[0].keys.kind == "scan"


@pytest.mark.usefixtures("badge")
def test_a_button_cannot_be_an_input_that_gives_codes(file: Path) -> None:
    assert mistakes(file, BADGE) == [
        "box.yaml:7: inputs[0].kind: found 'panic'; allowed: scan, patrol: this input gives codes"
    ]


@pytest.mark.usefixtures("badge")
def test_a_scan_cannot_be_an_input_that_gives_none(file: Path) -> None:
    [said] = mistakes(file, BADGE.replace("badge", "contact").replace("panic", "scan"))
    assert said.startswith("box.yaml:7: inputs[0].kind: found 'scan'; allowed: scan only for an input that gives codes")


@pytest.mark.usefixtures("badge")
def test_a_drivers_own_words_stand_at_the_entry_when_they_name_no_key(file: Path) -> None:
    [said] = mistakes(file, BADGE.replace("panic", "patrol"))
    assert said == "box.yaml:7: inputs[0]: this reader wants something else"


@pytest.mark.usefixtures("badge")
def test_inputs_that_do_not_go_together_are_named_at_their_driver(file: Path) -> None:
    one = BADGE.replace("panic", "scan")
    assert mistakes(file, one + "  - {id: b, driver: gpio0, kind: scan}\n") == [
        "box.yaml:5: drivers[0]: found 2 inputs on gpio0, allowed is one"
    ]


def test_a_driver_that_cannot_be_imported_is_an_error_at_its_line(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise registry.NoDriverError(f"driver type {name!r} cannot be imported: no lgpio; install what it needs")

    monkeypatch.setattr(registry, "driver_type", broken)
    [said] = mistakes(file, SMALL)
    assert said.startswith("box.yaml:5: drivers[0].type: driver type 'gpio' cannot be imported")


PATH = 'paths:\n  - {{id: receiver, type: dc09, address: "tcp://10.0.0.5:12000", account: "1234", key_file: {file}}}\n'


def test_the_file_of_a_path_counts_from_the_folder_of_the_config_and_is_missed_where_it_is_not(file: Path) -> None:
    config = loaded(file, SMALL + PATH.format(file="receiver-key"))
    assert config.paths[0].files == {"key_file": file.parent / "receiver-key"}
    [missing] = missing_files(config)
    assert (missing.key, missing.line) == ("paths[0].key_file", SMALL.count("\n") + 2)
    (file.parent / "receiver-key").write_text("00" * 16)
    assert missing_files(config) == []


def test_a_path_has_its_own_defaults_and_takes_its_own_classes(file: Path) -> None:
    [path] = loaded(file, SMALL + PATH.format(file="x")).paths
    assert (path.when, sorted(path.classes)) == ("undelivered", ["alarm", "trouble"])
    assert path.make().noise == 0
