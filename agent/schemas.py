"""`python -m agent.schemas` writes what machines read of the contract, out of the models of messages and config.

    docs/schemas/    JSON Schemas 2020-12: event, batch, state, receipt, command, and data/ for each type of event
    docs/asyncapi.json   the topics (AsyncAPI 3.0), with those schemas as payloads
    config/schema.json   the config, for editors

A test compares the files with what is generated, so that none of them drifts.
"""

import ast
import inspect
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from agent import __version__, config, messages, models, models_evidence, models_position, models_scans
from agent.events import TYPE_PREFIX
from agent.kinds import CID, CLASSES, class_of

ROOT: Final = Path(__file__).resolve().parent.parent
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
FORMAT: Final = "application/schema+json;version=2020-12"
SLUG: Final = "[a-z0-9][a-z0-9-]{0,39}"
MODELS: Final = (models, models_evidence, models_position, models_scans, messages)
"""Where the classes stand whose fields have a description below them."""
Schema = dict[str, Any]


def main() -> None:
    """Writes every document into its place, and removes the schemas of types that are no more."""
    wanted = {ROOT / path: text for path, text in documents().items()}
    for old in set((ROOT / "docs/schemas").rglob("*.json")) - wanted.keys():
        old.unlink()
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def documents() -> dict[str, str]:
    """Each generated file's text by its path in the project."""
    made: dict[str, Schema] = {
        "docs/schemas/event.json": _by_type(
            "event", messages.EventMessage, {TYPE_PREFIX + name: {"$ref": f"data/{name}.json"} for name in models.DATA}
        ),
        "docs/schemas/batch.json": {
            "$schema": DIALECT,
            "title": "batch",
            "description": "Events of one class, oldest first, each byte for byte as it would be alone; at most as many"
            " as central's receipt names, and 32 KB.",
            "type": "array",
            "minItems": 1,
            "items": {"$ref": "event.json"},
        },
        "docs/schemas/state.json": {
            "$schema": DIALECT,
            "title": "state",
            "oneOf": [_inline(messages.StateMessage), _inline(messages.WillMessage)],
        },
        "docs/schemas/receipt.json": _schema("receipt", messages.ReceiptMessage),
        "docs/schemas/command.json": _by_type(
            "command",
            messages.CommandMessage,
            {f"{TYPE_PREFIX}command.{verb}": _inline(wish) for verb, wish in messages.WISHES.items()},
        ),
        **{f"docs/schemas/data/{name}.json": _data(name, model) for name, model in models.DATA.items()},
        "docs/asyncapi.json": _asyncapi(),
        "config/schema.json": config.schema(),
    }
    return {path: json.dumps(made[path], indent=2, ensure_ascii=False) + "\n" for path in made}


# ---- JSON Schemas


def _schema(title: str, model: type) -> Schema:
    return {"$schema": DIALECT, **_inline(model), "title": title}


def _data(name: str, model: type) -> Schema:
    """The data of a type of event, with what sealing adds to it."""
    own, sealed = _inline(model), _inline(models.Sealed)
    properties = {**sealed["properties"], **own["properties"]}
    required = sorted({*sealed["required"], *own.get("required", ())})
    if name in CID:
        properties["cid"] = {**properties["cid"], "const": CID[name]}
        required.append("cid")
    else:
        del properties["cid"]
    if class_of(name) != "alarm":
        del properties["position"]
    return {"$schema": DIALECT, **own, "title": TYPE_PREFIX + name, "properties": properties, "required": required}


def _by_type(title: str, model: type, data: Mapping[str, Schema]) -> Schema:
    """An envelope whose `data` is checked by its `type`; of a type that is not known, the envelope alone."""
    branches = [
        {"if": {"properties": {"type": {"const": name}}}, "then": {"properties": {"data": schema}}}
        for name, schema in data.items()
    ]
    return {**_schema(title, model), "allOf": branches}


def _inline(model: type) -> Schema:
    """A class of those modules as one schema without references, and with the descriptions that stand there."""
    raw = TypeAdapter(model).json_schema()
    whole: Schema = _described(raw, raw.pop("$defs", {}))
    return whole


def _described(node: Any, defs: Mapping[str, Schema]) -> Any:
    if isinstance(node, list):
        return [_described(item, defs) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        node = {**defs[node["$ref"].rpartition("/")[2]], **{key: node[key] for key in node if key != "$ref"}}
    docs = _field_docs(node.get("title", ""))
    made = {key: _described(value, defs) for key, value in node.items() if key != "title" or not isinstance(value, str)}
    for field, text in docs.items():
        if field in made.get("properties", {}):
            made["properties"][field] = {"description": text, **made["properties"][field]}
    return made


def _field_docs(name: str) -> dict[str, str]:
    """The line under each field of such a class, its bases' too."""
    node = _classes().get(name)
    if node is None:
        return {}
    docs: dict[str, str] = {}
    for base in node.bases:
        docs |= _field_docs(base.id if isinstance(base, ast.Name) else "")
    for field, below in zip(node.body, node.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            docs[field.target.id] = ast.literal_eval(below.value)
    return docs


@cache
def _classes() -> dict[str, ast.ClassDef]:
    nodes = [node for module in MODELS for node in ast.parse(inspect.getsource(module)).body]
    return {node.name: node for node in nodes if isinstance(node, ast.ClassDef)}


# ---- AsyncAPI

_EVENT_CLASS: Final = {"enum": list(CLASSES), "description": "the class of the events"}
_CHANNELS: Final[tuple[tuple[str, str, str, str, bool, str], ...]] = (
    ("event", "event/{class}", "box", "event", False, "One event."),
    ("batch", "batch/{class}", "box", "batch", False, "A backlog of events, for a central that takes batches."),
    ("state", "state", "box", "state", True, "Birth, heartbeat and last will."),
    ("media", "media/{sha256}/{offset}", "box", "", False, "Bytes of an evidence file. Not yet sent by this version."),
    ("receipt", "receipt", "central", "receipt", False, "What central has stored."),
    ("command", "command", "central", "command", False, "One signed command of an operator."),
)
"""Name, topic below the root, who sends, schema, retained, what it is."""
_CONTENT_TYPES: Final = {
    "event": "application/cloudevents+json",
    "batch": "application/cloudevents-batch+json",
    "media": "application/octet-stream",
}
_PARAMETERS: Final[Schema] = {
    "site": {"description": f"where the box belongs: {SLUG}"},
    "box": {"description": f"its name, one of its kind at the site: {SLUG}"},
    "class": _EVENT_CLASS,
    "sha256": {"description": "of the file as stored, hexadecimal"},
    "offset": {"description": "of the first byte in the file, decimal"},
}


def _asyncapi() -> Schema:
    channels: Schema = {}
    operations: Schema = {}
    messages: Schema = {}
    for name, topic, sender, schema, retain, summary in _CHANNELS:
        address = f"callbox/1/{{site}}/{{box}}/{topic}"
        channels[name] = {
            "address": address,
            "description": summary,
            "parameters": {
                key: {"$ref": f"#/components/parameters/{key}"} for key in _PARAMETERS if f"{{{key}}}" in address
            },
            "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        }
        messages[name] = {
            "name": name,
            "summary": summary,
            "contentType": _CONTENT_TYPES.get(name, "application/json"),
            **({"payload": _payload(schema)} if schema else {}),
        }
        for who in ("box", "central"):
            sends = who == sender
            operations[f"{who}{'Sends' if sends else 'Receives'}{name.capitalize()}"] = {
                "action": "send" if sends else "receive",
                "channel": {"$ref": f"#/channels/{name}"},
                "summary": summary,
                "tags": [{"name": who}],
                "bindings": {"mqtt": {"qos": 1, "retain": retain, "bindingVersion": "0.2.0"}},
                "messages": [{"$ref": f"#/channels/{name}/messages/{name}"}],
            }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Callbox",
            "version": __version__,
            "description": "What a box and central say to each other over MQTT; docs/contract.md tells it in words."
            " Nothing but `state` is ever retained.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "parameters": _PARAMETERS},
    }


def _payload(schema: str) -> Schema:
    return {"schemaFormat": FORMAT, "schema": {"$ref": f"schemas/{schema}.json"}}


if __name__ == "__main__":
    main()
