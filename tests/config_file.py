"""A config file: a small good one, what is loaded from a text, and what is said of a wrong one."""

from pathlib import Path

import pytest

from agent.config import Config, ConfigErrors, load

FOLDER = Path(__file__).parent.parent / "config"
SMALL = """\
box: {site: s, id: b}
links:
  - url: mqtts://central.example
drivers:
  - {id: gpio0, type: gpio}
inputs:
  - {id: alarm-1, driver: gpio0, pin: 17, kind: panic}
"""


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOX_LANG", "en")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "box.yaml"


def loaded(file: Path, text: str) -> Config:
    file.write_text(text, encoding="utf-8")
    return load(file)


def mistakes(file: Path, text: str | bytes) -> list[str]:
    """What `callbox check` says, without the folder of the file."""
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigErrors) as caught:
        load(file)
    return [str(error).removeprefix(f"{file.parent}/") for error in caught.value.errors]
