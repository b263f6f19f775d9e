"""What is kept of documents as the config has it: a part of `agent/config_model.py`."""

from pydantic import Field

from agent.config_types import Keys
from agent.papers import Keep


def _field(default: Keep, doc: str) -> Keep:
    kept: Keep = Field(default, description=doc)
    return kept


class Documents(Keys):
    """What is kept of each field of a document's zone: keep, hash (under the site's key) or drop."""

    type: Keep = _field("keep", "P of a passport, I, A or C of a card, V of a visa")
    issuer: Keep = _field("keep", "code of the state or organisation")
    number: Keep = _field("keep", "the document's number")
    expires: Keep = _field("keep", "the day on which it expires")
    nationality: Keep = _field("drop", "code of the holder's state")
    surname: Keep = _field("drop", "of the holder")
    given_names: Keep = _field("drop", "of the holder")
    birth: Keep = _field("drop", "of the holder, YYMMDD")
    sex: Keep = _field("drop", "of the holder")
    optional: Keep = _field("drop", "what the issuer adds, often a personal number")
    optional2: Keep = _field("drop", "the same, on the second line of a card of three")

    @property
    def policy(self) -> dict[str, Keep]:
        """By name of the field."""
        return {name: getattr(self, name) for name in Documents.model_fields}
