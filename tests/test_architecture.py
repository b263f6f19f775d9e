"""The shape of the house: who may import whom. Each failure prints the rule and why it is one."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
AGENT = sorted((ROOT / "agent").glob("*.py"))
DRIVERS = sorted((ROOT / "drivers").glob("*.py"))
SIMULATORS = sorted((ROOT / "simulators").rglob("*.py"))

PURE = {
    "alarms",
    "box",
    "camera_words",
    "canonical",
    "central",
    "commands",
    "compliance",
    "events",
    "evidence",
    "export_streams",
    "feedback",
    "inputs",
    "keeping",
    "kinds",
    "lane",
    "link",
    "lists",
    "lists_mail",
    "load",
    "mail",
    "media",
    "media_mail",
    "path_mail",
    "paths",
    "messages",
    "model_types",
    "models",
    "models_evidence",
    "models_position",
    "models_scans",
    "neighbours",
    "outbox",
    "outputs",
    "papers",
    "patrols",
    "polygons",
    "position",
    "power",
    "puts",
    "ranges",
    "reads",
    "receiver_clock",
    "recorder",
    "report",
    "retention",
    "supervision",
    "timekeeping",
    "uplink",
    "uploads",
    "walktest",
    "window",
    "zones",
}
"""What decides: values and the time in, values out."""
PURE_DRIVERS = {
    "ad2_text",
    "ad2_zones",
    *("avi", "camera_reads", "frame_clock", "jpeg", "mpegts", "mrz", "nal", "packet_ring", "packets"),
    *("at", "dc09_frame", "eol", "modbus_bus", "modbus_frame", "nmea", "scans", "storm", "supervised"),
}
"""The same in the camera process, and in drivers."""
EXPORT_READS = ("drivers.jpeg", "drivers.nal", "drivers.packets.Codec")

IO = {
    *("asyncio", "concurrent", "fcntl", "io", "multiprocessing", "os", "pathlib", "queue", "select", "selectors"),
    *("shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time"),
    *("cryptography", "gpiozero", "paho", "pydantic", "serial", "sqlite_utils", "tenacity", "yaml"),
}
DOORS = {
    "paho": {"agent/mqtt.py", "agent/paho_client.py"},
    "sqlite3": {
        *(
            "agent/journal.py",
            "agent/journal_files.py",
            "agent/list_file.py",
            "agent/list_store.py",
            "agent/journal_paths.py",
            "agent/schema.py",
            "agent/writer.py",
            "agent/reader.py",
            "agent/storage.py",
            "agent/salvage.py",
            "agent/fsck.py",
            "agent/fsck_files.py",
            "agent/rules.py",
            "agent/export_events.py",
        ),
        "agent/errors.py",  # maps what it says
    },
    "sqlite_utils": {"agent/schema.py"},
    "yaml": {"agent/yaml_lines.py"},
    "pydantic": {
        "agent/config.py",
        "agent/config_codes.py",
        "agent/config_errors.py",
        "agent/config_links.py",
        "agent/config_model.py",
        "agent/config_papers.py",
        "agent/config_types.py",
        "agent/schemas.py",  # makes the documents; no part of the daemon
    },
    "pydantic_core": {"agent/config_types.py", "agent/config_errors.py"},
    "cryptography": {
        "agent/identity.py",
        "drivers/dc09.py",
        "agent/verify_export.py",
    },  # the last is no part of the agent
    "tenacity": {"agent/wires.py"},
    "gpiozero": {"drivers/gpio.py", "drivers/mcp3008.py", "drivers/pin_factory.py"},
    "serial": {"drivers/serial_port.py"},
    # in the camera processes and their looks, and in `callbox export` at central
    "cv2": {
        *("drivers/cv2_source.py", "drivers/picture_child.py", "drivers/camera_look.py", "drivers/camera_preview.py"),
        "agent/export_decode.py",
    },
    "zxingcpp": {"drivers/camera_read.py"},
    "rapidocr": {"drivers/camera_read.py"},
    "pyrage": {"drivers/vault.py", "agent/export_files.py"},
}
IMPURE_BUILT_IN = {"open", "input", "print", "exec", "eval"}


def here(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), here(file))


def types_only(module: ast.Module) -> set[ast.AST]:
    """Everything under `if TYPE_CHECKING:`, which is never run."""
    blocks = [
        node for node in ast.walk(module) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    return {inner for block in blocks for statement in block.body for inner in ast.walk(statement)}


def imports(file: Path, *, types: bool = False) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of each import, wherever in the file it stands. types: those for types alone too."""
    module = tree(file)
    skipped = set() if types else types_only(module)
    for node in ast.walk(module):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{here(file)}:{node.lineno}: a relative import hides whom it names"
            assert node.module is not None
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def fail(broken: list[str], rule: str) -> None:
    assert not broken, "\n".join([rule, *broken])


def test_the_rules_see_the_files() -> None:
    """A rule about no file is kept by nobody."""
    assert {file.stem for file in AGENT} >= PURE
    assert len(DRIVERS) >= 4
    assert len(SIMULATORS) >= 10
    assert ("agent.config.Config" in {name for _, name in imports(ROOT / "agent/box.py", types=True)}) is True
    assert ("agent.config.Config" in {name for _, name in imports(ROOT / "agent/box.py")}) is False


def test_drivers_never_import_the_agent() -> None:
    fail(
        [
            f"{here(file)}:{line}: {name}"
            for file in DRIVERS
            for line, name in imports(file, types=True)
            if within(name, "agent", "simulators")
        ],
        "Drivers know drivers.contract and their one hardware library, so that one can come in a wheel of its own.",
    )


def test_the_driver_contract_needs_only_the_standard_library() -> None:
    allowed = ("collections", "dataclasses", "functools", "importlib", "sys", "typing", "drivers.contract")
    fail(
        [
            f"{here(file)}:{line}: {name}"
            for file in (ROOT / "drivers/contract.py", ROOT / "drivers/registry.py")
            for line, name in imports(file, types=True)
            if not within(name, *allowed)
        ],
        "Whoever writes a driver depends on the contract: it must cost them nothing.",
    )


def test_the_agent_knows_drivers_only_through_their_contract() -> None:
    fail(
        [
            f"{here(file)}:{line}: {name}"
            for file in AGENT
            for line, name in imports(file, types=True)
            if within(name, "drivers")
            and not within(name, "drivers.contract")
            and not (within(name, "drivers.registry") and here(file) == "agent/config.py")
            and not (within(name, *EXPORT_READS) and file.stem.startswith("export_"))
        ],
        "The agent finds drivers by their entry points (drivers.registry in config.py), none by its name. `callbox"
        " export` is no part of the daemon, and reads what the camera process wrote with the same pure code.",
    )


def test_simulators_know_of_the_agent_only_its_texts() -> None:
    fail(
        [
            f"{here(file)}:{line}: {name}"
            for file in SIMULATORS
            for line, name in imports(file, types=True)
            if within(name, "agent") and not within(name, "agent.text")
        ],
        "Simulators implement the contract independently; with the agent's code they would share its mistakes.",
    )


def test_nothing_in_agent_or_drivers_knows_that_it_is_simulated() -> None:
    """`callbox demo` alone starts the simulators, where they are installed."""
    fail(
        [
            f"{here(file)}:{line}: {name}"
            for file in AGENT + DRIVERS
            for line, name in imports(file, types=True)
            if within(name, "simulators") and here(file) != "agent/cli.py"
        ],
        "A real box never carries simulators.",
    )


@pytest.mark.parametrize(
    "name", sorted([f"agent/{stem}" for stem in PURE] + [f"drivers/{stem}" for stem in PURE_DRIVERS])
)
def test_what_decides_does_no_io(name: str) -> None:
    file = ROOT / f"{name}.py"
    broken = [
        f"{here(file)}:{line}: imports {name}"
        for line, name in imports(file)
        if within(name, *IO) or within(name, "logging", "datetime.datetime.now")
    ]
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in IMPURE_BUILT_IN or called.endswith((".now", ".today", ".utcnow", "random.random")):
                broken.append(f"{here(file)}:{node.lineno}: calls {called}")
    fail(broken, "What decides is handed values and the time, and so runs in virtual time, also under a cut of power.")


def test_what_decides_imports_only_what_decides() -> None:
    """identity is the one door among them: Ed25519 is arithmetic, and its signer is handed in."""
    allowed = {*(f"agent.{stem}" for stem in PURE), "agent.identity", "agent.__version__"}
    fail(
        [
            f"{here(file)}:{line}: {name}"
            for file in AGENT
            if file.stem in PURE
            for line, name in imports(file)
            if within(name, "agent") and not within(name, *allowed)
        ],
        "A door imported by what decides would bring its I/O along.",
    )


def test_each_library_has_one_door() -> None:
    fail(
        [
            f"{here(file)}:{line}: {name} belongs in {', '.join(sorted(doors))}"
            for file in AGENT + DRIVERS
            for line, name in imports(file, types=True)
            for library, doors in DOORS.items()
            if within(name, library) and here(file) not in doors
        ],
        "One library, one door: what it cannot do, and what it does wrong, is dealt with in one place.",
    )


def test_what_a_box_is_armed_without_is_not_imported_before() -> None:
    late = "paho", "ssl", "sqlite_utils", "cv2", "pyrage"
    code = f"import sys, agent.main, drivers.gpio, drivers.line; print(*sys.modules.keys() & {set(late)})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    fail(done.stdout.split(), "A box watches its inputs first: what only the link or a new journal needs comes later.")


def test_nobody_sleeps() -> None:
    broken = [
        f"{here(file)}:{node.lineno}: {ast.unparse(node)}"
        for file in AGENT + DRIVERS
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "sleep"
    ]
    fail(broken, "Whoever sleeps hears neither a message nor a stop: wait for the event with a timeout.")


def test_only_main_and_what_it_calls_know_all_names() -> None:
    fail(
        [
            f"{here(file)}:{line}: {name}"
            for file in AGENT
            if file.name not in ("main.py", "cli.py")
            for line, name in imports(file, types=True)
            if within(name, "agent.main", "agent.loop", "agent.cli")
        ],
        "loop <- main <- cli: whoever imports them from below makes a circle.",
    )


def test_modules_can_be_read_in_one_sitting() -> None:
    fail(
        [
            f"{here(file)}: {lines} lines"
            for file in AGENT + DRIVERS + SIMULATORS
            if (lines := len(file.read_text(encoding="utf-8").splitlines())) > 400
        ],
        "A file past 400 lines asks to be two.",
    )
