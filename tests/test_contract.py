"""The contract cannot drift: documents against models, and what the schemas refuse."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import rfc8785
from contract_schemas import ASYNCAPI, DOCS, FILES, NOT_SENT, ROOT, faults, registry

from agent import messages, models, schemas
from agent.commands import DONE_HERE, NOTE_CHARS_MAX, RANGES_MAX, RESEND_RANGES_MAX
from agent.kinds import CID, KINDS, class_of
from simulators.central.wire import verify


def nodes(document: Any) -> Iterator[dict[str, Any]]:
    if isinstance(document, dict):
        yield document
    for below in document.values() if isinstance(document, dict) else document if isinstance(document, list) else ():
        yield from nodes(below)


# ---- the documents


def test_the_generated_files_are_those_of_the_models() -> None:
    wanted = schemas.documents()
    found = {path: (ROOT / path).read_text(encoding="utf-8") for path in wanted}
    assert [path for path in wanted if found[path] != wanted[path]] == [], "run `make docs`"
    assert {f"docs/{path}" for path in FILES} == wanted.keys() - {"config/schema.json"}


def test_every_type_of_event_has_its_data() -> None:
    kinds = {kind.event for name, kind in KINDS.items() if name != "reset"}
    assert kinds | CID.keys() <= models.DATA.keys()
    for name in models.DATA:
        assert class_of(name)
        properties = FILES[f"schemas/data/{name}.json"]["properties"]
        assert properties.get("cid", {}).get("const") == CID.get(name)


def test_every_schema_is_one_and_each_of_its_fields_is_described() -> None:
    for path, schema in FILES.items():
        if path.startswith("schemas/"):
            jsonschema.Draft202012Validator.check_schema(schema)
            bare = [
                f"{path}: {name}"
                for node in nodes(schema)
                if node.get("type") == "object"
                for name, field in node.get("properties", {}).items()
                if "description" not in field
            ]
            assert bare == []


def test_every_reference_between_the_documents_resolves() -> None:
    for path, document in FILES.items():
        for reference in [node["$ref"] for node in nodes(document) if "$ref" in node]:
            file, _, pointer = reference.partition("#")
            target = FILES[(Path(path).parent / file).as_posix()] if file else document
            for part in pointer.split("/")[1:]:
                target = target[part]


def test_the_asyncapi_document_is_well_formed() -> None:
    """As AsyncAPI 3.0.0 demands: fixed fields, parameters of the addresses, messages of an operation's own channel."""
    assert ASYNCAPI["asyncapi"] == "3.0.0"
    assert ASYNCAPI["info"].keys() >= {"title", "version"}
    assert ASYNCAPI.keys() <= {"asyncapi", "info", "defaultContentType", "channels", "operations", "components"}
    for channel in ASYNCAPI["channels"].values():
        assert set(re.findall(r"{(\w+)}", channel["address"])) == channel["parameters"].keys()
    for name, operation in ASYNCAPI["operations"].items():
        assert re.fullmatch(r"[A-Za-z0-9_.-]+", name)
        assert operation["action"] in ("send", "receive")
        channel = operation["channel"]["$ref"]
        assert all(message["$ref"].startswith(f"{channel}/messages/") for message in operation["messages"])


def test_nothing_but_the_state_is_retained_and_each_message_is_sent_by_one_side() -> None:
    for name in ASYNCAPI["channels"]:
        ways = {
            key: operation
            for key, operation in ASYNCAPI["operations"].items()
            if operation["channel"]["$ref"] == f"#/channels/{name}"
        }
        assert sorted(operation["action"] for operation in ways.values()) == ["receive", "send"]
        for operation in ways.values():
            assert operation["bindings"]["mqtt"]["qos"] == 1
            assert operation["bindings"]["mqtt"]["retain"] == (name == "state")


CONTRACT = (DOCS / "contract.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"<!-- schema: (\w+) -->\s*```json\n(.*?)```", re.DOTALL)
EXAMPLES = {name: json.loads(text) for name, text in BLOCK.findall(CONTRACT)}


def test_the_examples_of_the_contract_are_valid() -> None:
    assert EXAMPLES.keys() == {"event", "state", "receipt", "command"}
    for name, example in EXAMPLES.items():
        assert faults(name, example) == []


def test_the_contract_names_every_type_and_marks_those_that_are_not_yet_sent() -> None:
    rows = [line for line in CONTRACT.splitlines() if re.match(r"\| `(alarm|trouble|scan|status|audit)\.", line)]
    told: dict[str, bool] = {}
    for row in rows:
        names = re.findall(r"`([a-z.]+)`", row.split("|")[1])
        cls = names[0].partition(".")[0]
        told |= {cls + "." + name.rpartition(".")[2]: "**not yet**" in row for name in names}
    assert told.keys() == models.DATA.keys()
    assert {name for name, not_yet in told.items() if not_yet} == NOT_SENT


def test_the_contract_marks_the_verbs_that_are_not_yet_done() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `\{.*$", CONTRACT, re.MULTILINE)
    assert set(rows) == messages.WISHES.keys()
    not_yet = set(re.findall(r"^\| `(\w+)` \| `\{.*\*\*not yet\*\*.*$", CONTRACT, re.MULTILINE))
    assert not_yet == messages.WISHES.keys() - set(DONE_HERE)


def test_the_example_event_is_truly_signed_by_the_key_in_the_example_state() -> None:
    event, state = EXAMPLES["event"], EXAMPLES["state"]
    unsigned = {name: value for name, value in event.items() if name != "sig"}
    assert verify(state["key"], event["sig"], rfc8785.dumps(unsigned))
    assert not verify(state["key"], event["sig"], rfc8785.dumps(unsigned | {"boxseq": 3}))


def test_the_schemas_have_the_limits_of_the_code() -> None:
    ways = {branch["if"]["properties"]["type"]["const"]: branch for branch in FILES["schemas/command.json"]["allOf"]}
    fields = {verb: ways[f"callbox.command.{verb}"]["then"]["properties"]["data"]["properties"] for verb in DONE_HERE}
    assert fields["resend"]["ranges"]["maxItems"] == RESEND_RANGES_MAX
    assert fields["close"]["note"]["maxLength"] == NOTE_CHARS_MAX
    assert FILES["schemas/receipt.json"]["properties"]["also"]["maxItems"] == RANGES_MAX


# ---- the schemas say no


GOOD = json.loads(
    """{"specversion":"1.0","id":"01941f29-7c00-7aaa-8000-3f1f2d1c0b0a","source":"/callbox/jiangyang/kiosk-017",
    "type":"callbox.alarm.panic","subject":"alarm-1","time":"2026-11-22T01:33:20.123456Z",
    "datacontenttype":"application/json","journal":"9b1deb4d","boxseq":1042,"boot":"5f0c2a9e","timequality":"synced",
    "data":{"transition":"raised","cid":120,"count":1,"input":"alarm-1","monotonic_s":81.5,
    "case":"01941f29-7c00-7aaa-8000-3f1f2d1c0b0a"}}"""
) | {"prevhash": "A" * 43, "sig": "A" * 86}


def test_an_event_of_an_unknown_type_and_an_unknown_field_are_no_fault_to_a_consumer() -> None:
    assert faults("event", GOOD) == []
    assert faults("event", GOOD | {"type": "callbox.alarm.flood", "data": {"litres": 3}}, registry(strict=False)) == []
    assert faults("event", GOOD | {"data": GOOD["data"] | {"humidity": 3}}, registry(strict=False)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"id": "1042"},
        {"boxseq": 0},
        {"time": "2026-11-22 01:33:20"},
        {"sig": "short"},
        {"data": GOOD["data"] | {"cid": 121}},
        {"data": GOOD["data"] | {"transition": "pressed"}},
        {"data": {"transition": "raised"}},
    ],
)
def test_an_event_that_breaks_the_contract_is_refused(change: Mapping[str, Any]) -> None:
    assert faults("event", GOOD | change, registry(strict=False))
