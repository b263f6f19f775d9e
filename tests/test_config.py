"""The config: good files, files that are none, and what is noticed of a good one."""

import base64
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
from config_file import FOLDER, SMALL, english, file, loaded, mistakes

from agent import config as config_module
from agent.config import ConfigErrors, load, missing_files, notices, schema
from agent.kinds import KINDS
from agent.yaml_lines import BYTES_MAX, read
from drivers import registry

__all__ = ["english", "file"]  # fixtures

EXAMPLES = sorted(FOLDER.glob("*.yaml"))


# ---- good files


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_a_good_config_and_fits_the_schema(example: Path) -> None:
    assert load(example).inputs
    jsonschema.Draft202012Validator(schema()).validate(read(example).value)


def test_a_small_config_has_the_defaults_of_the_contract(file: Path) -> None:
    config = loaded(file, SMALL)
    assert config.root == "callbox/1/s/b"
    assert config.box.name == "b"
    assert config.state_dir == Path("/var/lib/callbox")
    assert (config.delivery, config.profile, config.receipt_timeout_s) == ("receipt", "dp4", 10)
    assert (config.retention.days, config.retention.journal_mb, config.retention.reserve_mb) == (180, 1024, 64)
    [alarm] = config.inputs
    assert (alarm.debounce_ms, alarm.cameras, alarm.keys.pin, alarm.keys.normally) == (20, (), 17, "open")
    assert config.drivers[0].wire is registry.driver_type("gpio")
    assert type(config.drivers[0].options) is registry.driver_type("gpio").Options


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("mqtt://h", ("h", 1883, False, False)),
        ("mqtts://h", ("h", 8883, True, False)),
        ("ws://h:9001/x", ("h", 9001, False, True)),
        ("wss://[fe80::1]", ("fe80::1", 443, True, True)),
    ],
)
def test_a_link_knows_the_parts_of_its_url(file: Path, url: str, parts: tuple[str, int, bool, bool]) -> None:
    [link] = loaded(file, SMALL.replace("mqtts://central.example", f'"{url}"')).links
    assert (link.host, link.port, link.tls, link.websockets) == parts


def test_files_count_from_the_folder_of_the_config(file: Path) -> None:
    config = loaded(file, SMALL.replace("central.example", "h\n    ca: ca.pem") + "state_dir: state\n")
    assert config.state_dir == file.parent / "state"
    assert config.links[0].ca == file.parent / "ca.pem"


@pytest.mark.parametrize("profile", ["dp4", "sp6", "relaxed"])
def test_each_profile_keeps_its_promise_by_will_and_by_heartbeat(file: Path, profile: str) -> None:
    second = "  - url: mqtt://second.example\n"
    timing = loaded(file, SMALL.replace("drivers:", f"{second}drivers:") + f"profile: {profile}\n").timing
    assert 1.5 * timing.keepalive_s <= timing.dead_s
    assert 3 * timing.heartbeat_s <= timing.dead_s
    assert timing.keepalive_s <= 20


def test_the_kinds_of_the_config_are_those_that_the_agent_knows() -> None:
    assert tuple(schema()["properties"]["inputs"]["items"]["anyOf"][0]["properties"]["kind"]["enum"]) == tuple(KINDS)


def test_yes_no_on_off_and_times_are_text(file: Path) -> None:
    assert loaded(file, SMALL.replace("id: b}", "id: no, name: 12:30}")).box.name == "12:30"
    assert loaded(file, SMALL.replace("site: s", "site: on")).box.site == "on"


# ---- files that are no config


def test_a_file_that_is_missing_says_so(file: Path) -> None:
    with pytest.raises(ConfigErrors, match="No such file or directory; allowed: a readable config file"):
        load(file)


def test_a_folder_is_no_config(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match="Is a directory; allowed: a readable config file"):
        load(tmp_path)


def test_a_file_that_is_not_utf8_names_the_line_and_the_bytes(file: Path) -> None:
    gbk = SMALL.replace("id: b}", "id: b, name: 白塔路}").encode("gbk")
    assert mistakes(file, b"# comment\n" + gbk) == ["box.yaml:2: found the bytes b0; allowed: UTF-8"]


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n", "---\n"])
def test_an_empty_file_is_no_config(file: Path, text: str) -> None:
    [said] = mistakes(file, text)
    assert "allowed: a config: box, links, drivers, inputs" in said


@pytest.mark.parametrize("text", ["- a\n", "hello\n", "5\n"])
def test_a_file_that_is_not_keys_is_no_config(file: Path, text: str) -> None:
    [said] = mistakes(file, text)
    assert "allowed: a config: box, links, drivers, inputs" in said


def test_a_huge_file_is_refused_before_it_is_read(file: Path) -> None:
    said = mistakes(file, b"#" * (BYTES_MAX + 1))
    assert said == ["box.yaml: found 1000001 bytes; allowed: at most 1000000 bytes"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("box: {site: s\nlinks: []\n", "box.yaml:2: YAML: expected ',' or '}', but got ':'"),
        ("box:\n\tsite: s\n", "box.yaml:2: YAML: found character '\\t' that cannot start any token"),
        ("a: 1\nb: 2: 3\n", "box.yaml:2: YAML: mapping values are not allowed here"),
        ("a: 1\n---\nb: 2\n", "box.yaml:2: YAML: but found another document"),
        ("a: 1\nb: \x07\n", "box.yaml:2: YAML: special characters are not allowed: '\\x07'"),
        ("a: &x 1\nb: *x\n", "box.yaml:2: YAML: the alias *x is not allowed here: write the value out"),
        ("a: " + "[" * 30, "box.yaml:1: YAML: nested deeper than 20 levels"),
    ],
)
def test_yaml_that_cannot_be_read_names_its_line(file: Path, text: str, said: str) -> None:
    assert mistakes(file, text) == [said]


def test_an_alias_bomb_is_refused_at_its_first_alias(file: Path) -> None:
    bomb = "a: &a [x, x]\n" + "".join(
        f"{b}: &{b} [*{a}, *{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    [said] = mistakes(file, bomb)
    assert said.startswith("box.yaml:2: YAML: the alias *a")


def test_a_tag_is_refused_and_runs_nothing(file: Path) -> None:
    said = mistakes(file, SMALL + "state_dir: !!python/object/apply:os.getcwd []\n")
    assert "box.yaml:8: state_dir: found the tag !!python/object/apply:os.getcwd; allowed: no tags" in said


def test_a_key_that_is_a_list_is_refused(file: Path) -> None:
    assert mistakes(file, SMALL + "? [a]\n: 1\n") == [
        "box.yaml:8: ?: found a key that is not plain text; allowed: plain text as a key"
    ]


RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"


# ---- what is noticed, and files that are missed


def test_a_whole_config_has_nothing_to_be_noticed(file: Path) -> None:
    key = base64.urlsafe_b64encode(bytes(32)).decode().rstrip("=")
    whole = f"central_key: {key}\noperators: [{{name: desk, key: {key}, may: [close]}}]\n"
    config = loaded(file, SMALL + whole)
    assert notices(config) == []
    assert (config.central_key, config.operators[0].key, config.operators[0].may) == (bytes(32), bytes(32), ("close",))


def test_what_is_allowed_and_unwise_or_idle_is_noticed(file: Path) -> None:
    idle = "cameras: [{id: c, source: /dev/video0}]\nretention: {days: 30}\n"
    said = notices(loaded(file, SMALL.replace("mqtts://central.example", "mqtt://h") + idle))
    assert [notice.split(" ")[0].rstrip(":") for notice in said] == [
        "links[0]",
        "no",
        "no",
        "evidence.recipients",
    ]
    assert notices(loaded(file, SMALL + "delivery: puback\n"))[0].startswith("delivery: puback counts")


def test_a_camera_s_file_counts_from_the_folder_of_the_config_and_may_be_missing(file: Path) -> None:
    sources = ("films/door.ts", "/dev/video7", "rtsp://h/1")
    listed = ", ".join(f"{{id: c{n}, source: '{source}'}}" for n, source in enumerate(sources))
    config = loaded(file, SMALL + f"cameras: [{listed}]\nevidence: {{recipients: [{RECIPIENT}]}}\n")
    film = file.parent / "films/door.ts"
    assert [camera.source for camera in config.cameras] == [str(film), "/dev/video7", "rtsp://h/1"]
    assert (missing_files(config), [notice for notice in notices(config) if "cameras" in notice]) == (
        [],
        [f"cameras[0]: {film} is not there; the camera is offline until it is"],
    )
    film.parent.mkdir()
    film.touch()
    assert not [notice for notice in notices(config) if "cameras" in notice]


def test_files_that_links_name_are_missed_with_their_line(file: Path) -> None:
    config = loaded(file, SMALL.replace("central.example", "h\n    ca: ca.pem\n    username_file: user"))
    (file.parent / "ca.pem").touch()
    [said] = missing_files(config)
    assert str(said).startswith(f"{file}:5: links[0].username_file: found {file.parent}/user, which is not there; ")


def test_everything_that_others_use_is_exported() -> None:
    assert all(hasattr(config_module, name) for name in config_module.__all__)
