"""Finding drivers by their entry points, with packages that are really installed into a folder."""

import subprocess
import sys
from pathlib import Path

import pytest

from drivers.gpio import GpioDriver
from drivers.line import LineDriver
from drivers.registry import NoDriverError, driver_type, installed


def install(folder: Path, package: str, entry_points: str) -> None:
    info = folder / f"{package}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[callbox.drivers]\n{entry_points}\n")


def test_the_drivers_of_this_project_are_found_by_their_type() -> None:
    assert driver_type("gpio") is GpioDriver
    assert driver_type("line") is LineDriver
    assert {"gpio", "line"} <= set(installed())


def test_an_unknown_type_is_answered_with_what_is_installed() -> None:
    with pytest.raises(NoDriverError, match=r"'gpoi' is not installed; installed are: .*gpio.*line"):
        driver_type("gpoi")


def test_a_driver_of_another_package_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, "callbox_doorbell", "doorbell = callbox_doorbell:Doorbell")
    (tmp_path / "callbox_doorbell.py").write_text("class Doorbell: ...\n")
    assert driver_type("doorbell").__name__ == "Doorbell"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (
            "import no_such_bells",
            "ModuleNotFoundError: No module named 'no_such_bells'",
        ),
        ("class Doorbell(:", "SyntaxError"),
        ("raise RuntimeError('no bell')", "RuntimeError: no bell"),
        ("class Bell: ...", "AttributeError"),
    ],
)
def test_a_driver_that_cannot_be_imported_is_an_error_only_for_who_uses_it(
    source: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "callbox_doorbell", raising=False)
    install(tmp_path, "callbox_doorbell", "doorbell = callbox_doorbell:Doorbell")
    (tmp_path / "callbox_doorbell.py").write_text(source)
    assert driver_type("line") is LineDriver
    assert "doorbell" in installed()
    with pytest.raises(NoDriverError, match=r"'doorbell' .*from callbox_doorbell 1.2.* cannot be imported") as caught:
        driver_type("doorbell")
    assert says in str(caught.value)


def test_a_type_that_two_packages_bring_is_an_error_that_names_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, "callbox_doorbell", "line = callbox_doorbell:Line")
    with pytest.raises(NoDriverError, match=r"more than once .*callbox_doorbell:Line, drivers.line:LineDriver"):
        driver_type("line")


def test_only_the_driver_that_is_used_is_imported() -> None:
    code = (
        "import sys; from drivers.registry import driver_type; driver_type('line');"
        "assert 'gpiozero' not in sys.modules and 'drivers.gpio' not in sys.modules; assert 'serial' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
