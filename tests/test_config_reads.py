"""Inputs that let a camera read: what is allowed, and what is said where something for it is not installed."""

import logging
import signal
import sys
from pathlib import Path

import pytest
from config_file import SMALL, english, file, loaded, mistakes

from agent import config_notices, main
from agent.config import missing_extras, notices

__all__ = ["english", "file"]  # fixtures

CAMERA = "cameras: [{id: front, source: /dev/video0}]\n"
ONE = "  - {id: alarm-1, driver: gpio0, pin: 17, kind: panic}\n"


def with_input(text: str) -> str:
    return SMALL.replace(ONE, f"{ONE}  - {{id: papers, driver: gpio0, pin: 25, {text}}}\n") + CAMERA


def test_a_contact_of_kind_scan_is_one_that_lets_a_camera_read(file: Path) -> None:
    config = loaded(file, with_input("kind: scan, cameras: [front], read: [codes, mrz, plate]"))
    assert config.inputs[1].read == ("codes", "mrz", "plate")
    assert config.previews.pixelate is True


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: scan", "box.yaml:8: inputs[1].kind: found 'scan'; allowed: scan only for an input that gives codes"),
        ("kind: scan, cameras: [front], read: []", "box.yaml:8: inputs[1].kind: found 'scan'; allowed: scan only for"),
        ("kind: scan, read: [codes]", "box.yaml:8: inputs[1].read: found 'codes'; allowed: read only with cameras"),
        ("kind: panic, cameras: [front], read: [codes]", "box.yaml:8: inputs[1].read: found 'codes'; allowed: read"),
        ("kind: scan, cameras: [front], read: [faces]", "box.yaml:8: inputs[1].read[0]: found 'faces'; allowed: codes"),
        ("kind: scan, cameras: [door], read: [codes]", "box.yaml:8: inputs[1].cameras[0]: found 'door'; allowed: fron"),
    ],
)
def test_a_read_that_cannot_be_is_a_mistake(file: Path, text: str, said: str) -> None:
    [mistake] = mistakes(file, with_input(text))
    assert mistake.startswith(said)


def test_a_scanner_reads_by_itself_and_lets_no_camera_read(file: Path) -> None:
    scanner = "  - {id: desk, driver: wire, kind: scan, pressed: '(?P<code>.+)', cameras: [front], read: [codes]}\n"
    text = SMALL.replace(ONE, ONE + scanner).replace("inputs:", "  - {id: wire, type: line, port: /x}\ninputs:")
    [mistake] = mistakes(file, text + CAMERA)
    assert mistake.startswith("box.yaml:9: inputs[1].read: found 'codes'; allowed: read only for a contact")


def test_what_is_not_installed_for_it_is_noticed_by_check_and_at_the_start(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(config_notices, "find_spec", lambda name: None if name == "rapidocr" else name)
    assert missing_extras(loaded(file, with_input("kind: scan, cameras: [front], read: [codes]"))) == []
    text = with_input("kind: scan, cameras: [front], read: [codes, mrz]") + "state_dir: /dev/null/none\n"
    config = loaded(file, text)
    [said] = missing_extras(config)
    assert said.startswith("papers: rapidocr is not installed")
    assert said in notices(config)
    monkeypatch.setattr(main, "take_lock", stop)
    for module, name in ((signal, "pthread_sigmask"), (sys, "setswitchinterval"), (logging, "basicConfig")):
        monkeypatch.setattr(
            module, name, lambda *_, **__: None
        )  # what a start does to its process, and not to this one
    with caplog.at_level(logging.WARNING), pytest.raises(StopIteration):
        main.run(file)
    assert said in caplog.text


def stop(_: Path) -> None:
    """The start has come as far as this test looks."""
    raise StopIteration
