"""The directions of docs/architecture.md, held by reading what each file imports."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOORS = {
    "paho": {"agent/mqtt.py"},
    "sqlite3": {"agent/journal.py", "agent/errors.py"},
    "sqlite_utils": {"agent/journal.py", "agent/schema.py"},
    "yaml": {"agent/yaml_lines.py"},
    "pydantic": {"agent/config.py", "agent/config_model.py", "agent/config_types.py", "agent/schemas.py"},
    "pydantic_core": {"agent/config_types.py"},
    "cryptography": {"agent/identity.py"},
    "tenacity": {"agent/wires.py"},
    "gpiozero": {"drivers/gpio.py"},
    "serial": {"drivers/serial_port.py"},
    "rfc8785": {"agent/events.py", "agent/identity.py"},
    "typing_extensions": {"agent/models.py"},
}
"""Library to the files that may import it; another file asks that one. What is not here is not imported at all."""
PURE = (
    *("mail", "kinds", "models", "events", "inputs", "alarms", "zones", "recorder"),
    *("outbox", "link", "uplink", "commands", "central", "feedback", "box"),
)
WORLD = {
    *("asyncio", "ctypes", "fcntl", "logging", "os", "pathlib", "select", "signal", "socket"),
    *("sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading", "time"),
}
"""What pure code does not touch: it is given values and the time, and returns values."""


def files(*rooms: str) -> list[Path]:
    return [path for room in rooms for path in sorted((ROOT / room).rglob("*.py"))]


def imports(path: Path, *, types_too: bool = True) -> Iterator[str]:
    """Every module that a file imports, anywhere in it. types_too: also under TYPE_CHECKING."""

    def below(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not types_too:
            return
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            yield from below(child)

    yield from below(ast.parse(path.read_text(encoding="utf-8")))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", files("agent", "drivers"), ids=name)
def test_each_library_comes_in_by_its_one_door(path: Path) -> None:
    for module in imports(path):
        library = module.partition(".")[0]
        if library in DOORS:
            assert name(path) in DOORS[library], f"{library} belongs to {' and '.join(sorted(DOORS[library]))} alone"
        else:
            ours = {"agent", "drivers", "simulators"}
            assert library in sys.stdlib_module_names | ours, f"{library} has no door: name one in DOORS"


@pytest.mark.parametrize("module", PURE)
def test_what_thinks_touches_nothing(module: str) -> None:
    touched = {found.partition(".")[0] for found in imports(ROOT / f"agent/{module}.py")} & WORLD
    assert not touched, f"agent/{module}.py is pure, so that it runs in virtual time: hand it values, not {touched}"


@pytest.mark.parametrize("module", PURE)
def test_what_thinks_knows_a_door_by_its_types_at_the_most(module: str) -> None:
    allowed = {*PURE, "identity"}
    for found in imports(ROOT / f"agent/{module}.py", types_too=False):
        parts = found.split(".")
        if parts[0] == "agent" and (ROOT / f"agent/{parts[1]}.py").exists():
            assert parts[1] in allowed, f"agent/{module}.py may import {found} under TYPE_CHECKING alone"


@pytest.mark.parametrize("path", files("drivers"), ids=name)
def test_a_driver_knows_nothing_of_the_agent(path: Path) -> None:
    for module in imports(path):
        assert not module.startswith(("agent", "simulators")), "a driver knows its contract and its hardware library"


def test_the_agent_knows_drivers_by_contract_and_registry_alone() -> None:
    for path in files("agent"):
        for module in imports(path):
            if module.startswith("drivers."):
                assert module.split(".")[1] in ("contract", "registry"), f"{name(path)}: {module}: use the registry"


def test_only_the_demo_command_knows_simulators() -> None:
    found = {name(path) for path in files("agent", "drivers") for module in imports(path) if "simulators" in module}
    assert found == {"agent/cli.py"}


@pytest.mark.parametrize("path", files("simulators"), ids=name)
def test_simulators_speak_the_wire_and_share_no_code_with_the_agent_but_its_texts(path: Path) -> None:
    for module in imports(path):
        parts = module.split(".")
        assert parts[0] != "agent" or parts[1] == "text", "a simulator is a second implementation of the contract"
        assert parts[0] != "drivers" or parts[1] == "contract", "a simulator speaks bytes and levels, not drivers"


@pytest.mark.parametrize("path", files("agent", "drivers"), ids=name)
def test_nothing_sleeps(path: Path) -> None:
    assert "time.sleep" not in path.read_text(encoding="utf-8"), "wait for the event, with a deadline"
