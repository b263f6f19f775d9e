"""A driver in a wheel of its own is found, configured, checked and run without a line changed in agent/.

The package is written by the test out of docs/writing-a-driver.md: its code, and the entry point that stands there.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
from real_box import RealBox, until

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/writing-a-driver.md").read_text(encoding="utf-8")
pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the wheel; nothing of it is in our own environment."""
    folder = tmp_path_factory.mktemp("pad")
    [module] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    [[group, point]] = re.findall(r"^(callbox\.drivers) =\n +(\w+ = \S+)$", PAGE, re.MULTILINE)
    about = "callbox_pad-1.0.dist-info"
    content = {
        "callbox_pad.py": module,
        f"{about}/METADATA": "Metadata-Version: 2.1\nName: callbox-pad\nVersion: 1.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/entry_points.txt": f"[{group}]\n{point}\n",
    }
    wheel = folder / "callbox_pad-1.0-py3-none-any.whl"
    with ZipFile(wheel, "w") as pack:
        for name, text in content.items():
            pack.writestr(name, text)
        pack.writestr(f"{about}/RECORD", "".join(f"{name},,\n" for name in [*content, f"{about}/RECORD"]))
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "install", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--target", folder / "site", wheel], check=True)
    return folder / "site"


@pytest.fixture
def box(installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RealBox:
    box = RealBox(tmp_path)
    box.config["drivers"].append({"id": "till", "type": "pad", "port": box.panel.path})
    box.config["drivers"] = [entry for entry in box.config["drivers"] if entry["type"] != "line"]
    box.config["inputs"] = [entry for entry in box.config["inputs"] if entry["driver"] == "gpio0"]
    box.config["inputs"].append({"id": "till-1", "driver": "till", "letter": "a", "kind": "holdup"})
    box.write_config()
    monkeypatch.setenv("PYTHONPATH", f"{installed}{os.pathsep}{ROOT}")
    return box


def test_a_press_on_a_driver_of_somebody_elses_is_an_alarm(box: RealBox) -> None:
    with box:
        box.power_on()
        box.armed()
        box.panel.send(b"?Aa")
        until(lambda: b'"type":"callbox.alarm.holdup"' in b"".join(box.journal()), "the press is recorded")
        assert box.status()["noise"]["till"] == 1
        assert box.stop() == 0


def test_a_mistake_in_one_of_its_keys_is_named_with_its_line(box: RealBox) -> None:
    box.config["inputs"][-1]["letter"] = "?"
    box.write_config()
    done = box.callbox("check", str(box.file))
    assert done.returncode == 2
    said = r"box.yaml:\d+: inputs\[2\].letter: found '\?', allowed is one letter from a to z"
    assert re.search(said, done.stdout.decode())
