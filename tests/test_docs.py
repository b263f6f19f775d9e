"""What the documents say of files, functions, commands and each other is so."""

import ast
import re
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from bench_box import Bench
from driver_host import running

from agent.cli import main
from agent.config import load
from agent.kinds import KINDS
from drivers.contract import Edge
from simulators.line import LinePanel

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "README.zh-CN.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
TOP = "agent|drivers|simulators|config|systemd|tests|docs"


def prose(text: str) -> str:
    """Without the blocks of code, in which a bracket is no link."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchor(heading: str) -> str:
    """As the forges make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    named = set(re.findall(rf"`((?:{TOP})/[\w./-]*)`", page.read_text(encoding="utf-8")))
    assert {name for name in named if not (ROOT / name).exists()} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text(encoding="utf-8"))):
        file, _, heading = target.partition("#")
        place = (page.parent / file).resolve() if file else page
        assert place.exists(), f"{page.name}: {target}"
        if heading:
            headings = re.findall(r"^#+ (.*)$", place.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in map(anchor, headings), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_leads_to_nothing_outside_the_project(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"\]\(https?://", text)


def test_the_architecture_names_every_module_of_the_agent_and_the_drivers() -> None:
    files = {str(path.relative_to(ROOT)) for room in ("agent", "drivers") for path in (ROOT / room).glob("*.py")}
    assert {name for name in files - {"drivers/__init__.py"} if f"`{name}`" not in ARCHITECTURE} == set()


def functions(path: Path) -> set[str]:
    """`name` and `Class.name` of all that a file defines."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            found.add(node.name)
            found |= {f"{node.name}.{below.name}" for below in node.body if isinstance(below, ast.FunctionDef)}
        elif isinstance(node, ast.FunctionDef):
            found.add(node.name)
    return found


def test_each_step_of_a_press_is_where_the_architecture_says() -> None:
    tour = ARCHITECTURE.split("## What happens on a press")[1].split("\n## ")[0]
    steps = re.findall(r"`((?:agent|drivers)/\w+\.py)`\s+`([\w.]+)`", tour)
    assert len(steps) > 20
    assert [(file, name) for file, name in steps if name not in functions(ROOT / file)] == []


def press() -> list[str]:
    """The functions of the deciding code that are called from a press to its end, in order."""
    bench = Bench()
    bench.connect()
    bench.ack()
    calls: list[str] = []

    def note(frame: FrameType, event: str, _arg: object) -> None:
        if event == "call" and Path(frame.f_code.co_filename).parent == ROOT / "agent":
            calls.append(frame.f_code.co_qualname)

    sys.setprofile(note)
    try:
        bench.press("alarm-1")
        bench.ack()
        bench.receipt(2)
        case = bench.of("alarm.panic")[0]["case"]
        bench.command("acknowledge", {"alarm": case})
        bench.command("close", {"alarm": case})
    finally:
        sys.setprofile(None)
    return calls


def test_a_press_really_takes_the_way_that_the_architecture_tells_in_that_order() -> None:
    tour = ARCHITECTURE.split("## What happens on a press")[1].split("\n## ")[0].split("\n14. ")[0]
    doors = {
        name
        for door in ("clock", "journal", "loop", "mailbox", "mqtt", "storage", "wires", "writer")
        for name in in_file("agent", door)
    }
    doors |= in_file("drivers", "gpio")
    told = [name for name in re.findall(r"`((?:_?[A-Z]\w*\.\w+)|read_receipt)`", tour) if name not in doors]
    assert len(told) > 30
    calls = iter(press())
    assert [name for name in told if name not in calls] == []  # `in` goes on from where the last one was found


def in_file(room: str, module: str) -> set[str]:
    return functions(ROOT / room / f"{module}.py")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_that_a_page_names_exists(page: Path) -> None:
    makefiles = (ROOT / "Makefile").read_text() + (ROOT / "systemd/install.mk").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefiles, re.MULTILINE))
    named = set(re.findall(r"`(?:sudo )?make ([a-z]+)", page.read_text(encoding="utf-8")))
    assert named - targets == set()


def test_the_driver_of_the_page_on_drivers_works_as_it_stands_there() -> None:
    source = re.findall(r"```python\n(.*?)```", (ROOT / "docs/writing-a-driver.md").read_text(), re.DOTALL)
    module: dict[str, Any] = {}
    exec(compile("\n".join(source), "writing-a-driver.md", "exec", dont_inherit=True), module)  # noqa: S102
    with pytest.raises(ValueError, match="letter: found 'A'"):
        module["PadInput"]("A")
    with LinePanel() as pad:
        inputs = {"till-1": module["PadInput"]("a"), "till-2": module["PadInput"]("c")}
        driver = module["PadDriver"]("counter", module["PadOptions"](pad.path), inputs, {})
        with running(driver) as host:
            assert {host.take().input for _ in inputs} == set(inputs)
            pad.send(b"A?Cac")
            edges = [host.take() for _ in range(4)]
            assert [(edge.input, edge.active) for edge in edges if isinstance(edge, Edge)] == [
                ("till-1", True),
                ("till-2", True),
                ("till-1", False),
                ("till-2", False),
            ]
            pad.unplug()
            assert "gone" in str(host.lost()) or "hung up" in str(host.lost())
    assert driver.noise == 1


@pytest.mark.parametrize(
    "name", ["run", "check", "demo", "status", "events", "resend", "verify", "fsck", "keygen", "preview", "export"]
)
def test_every_command_of_the_contract_is_there(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"`callbox {name}" in (ROOT / "docs/contract.md").read_text(encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert "usage: callbox" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_config_in_the_readme_is_a_good_one(name: str, tmp_path: Path) -> None:
    [block] = re.findall(r"```yaml\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL)
    file = tmp_path / "box.yaml"
    file.write_text(block, encoding="utf-8")
    shown, button = load(file), load(ROOT / "config/button.yaml")
    assert (shown.inputs, shown.outputs) == (button.inputs, button.outputs)


def test_the_chinese_readme_tells_every_kind_of_input() -> None:
    text = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")
    assert {kind for kind in KINDS if f"| `{kind}` |" not in text} == set()


def test_the_readme_says_the_same_in_both_languages_about_what_is_missing() -> None:
    """Not word for word, but item for item."""
    english = (ROOT / "README.md").read_text(encoding="utf-8").split("## What is missing")[1].split("\n## ")[0]
    chinese = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8").split("## 还没有做的")[1].split("\n## ")[0]
    assert english.count("\n- ") == chinese.count("\n- ") > 5
