"""The schemas of docs/ as a validator has them: as a consumer reads them, and strict, for what we send."""

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
from referencing import Registry, Resource

from agent import models

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
FILES = {path.relative_to(DOCS).as_posix(): json.loads(path.read_text()) for path in DOCS.rglob("*.json")}
ASYNCAPI: dict[str, Any] = FILES["asyncapi.json"]
NOT_SENT = {name for name, model in models.DATA.items() if model is models.ReservedData}


def closed(schema: Any) -> Any:
    """The schema, with every field that it does not name forbidden: what we send, we have described."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    if made.get("type") == "object" and "properties" in made:
        made["additionalProperties"] = False
    return made


def registry(*, strict: bool) -> Registry[Any]:
    resources = [
        (f"file:///{path}", Resource.from_contents(closed(schema) if strict else schema))
        for path, schema in FILES.items()
        if path.startswith("schemas/")
    ]
    return Registry().with_resources(resources)


STRICT = registry(strict=True)


def faults(name: str, message: Any, within: Registry[Any] = STRICT) -> list[str]:
    """What the schema says against a message, each fault in a line."""
    validator = jsonschema.Draft202012Validator({"$ref": f"file:///schemas/{name}.json"}, registry=within)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(message)]
