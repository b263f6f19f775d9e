"""What of a document is kept, field by field, as the config says: as it stands, as a hash, or not at all. Pure.

    Paper of a scanner, FoundDocument of a camera -> fields -> keep | hash | drop -> data of scan.document

A hash is HMAC-SHA256 under the site's key, of the field's name and text (`agent.identity.site_hash`): who has the key
can tell whether two scans are of one document; without it nobody can find out by trying all numbers there are.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final, Literal

from agent.commands import clean
from agent.identity import b64, site_hash
from agent.media_mail import FoundDocument
from drivers.contract import Paper

Keep = Literal["keep", "hash", "drop"]

FIELD_CHARS_MAX: Final = 44
"""A line of a zone is no longer (ICAO Doc 9303 part 4)."""
CENTURY_PIVOT: Final = 70
"""Nothing is valid for so long: a year of expiry from here on is of the 20th century."""
NO_KEY: Final = "the site's key could not be read: nothing is hashed, and what was to be is left out"


class Papers:
    """The config's policy."""

    def __init__(self, policy: Mapping[str, Keep], site_key: bytes) -> None:
        """policy: by name of the field, as in `drivers.contract.Paper`; a field without one is dropped.

        site_key: b"" where it could not be read.
        """
        self._policy, self._key = policy, site_key

    def scanned(self, paper: Paper) -> dict[str, Any]:
        """The data of a scanner's document, but for whose it is."""
        fields = {**paper.fields, "expires": _date(paper.fields.get("expires", ""))}
        return {"layout": paper.layout, "wrong": [*paper.wrong], **self._kept(fields)}

    def found(self, document: FoundDocument) -> dict[str, Any]:
        """The same of a camera's, which has read no more than these."""
        fields = {name: getattr(document, name) for name in ("type", "issuer", "number", "expires")}
        return {"layout": document.layout, "wrong": [*document.wrong], **self._kept(fields)}

    def _kept(self, fields: Mapping[str, str]) -> dict[str, Any]:
        """What is empty says nothing."""
        told = {name: clean(text)[:FIELD_CHARS_MAX] for name, text in fields.items() if text}
        kept: dict[str, Any] = {name: text for name, text in told.items() if self._policy.get(name) == "keep"}
        to_hash = {name: text for name, text in told.items() if self._policy.get(name) == "hash"}
        if to_hash and self._key:
            kept["hashes"] = {name: b64(site_hash(self._key, name, text)) for name, text in to_hash.items()}
        elif to_hash:
            kept["reason"] = NO_KEY
        return kept


def _date(text: str) -> str:
    """YYMMDD as YYYY-MM-DD, "" where it is no date."""
    try:
        year = int(text[:2])
        return date(year + (1900 if year >= CENTURY_PIVOT else 2000), int(text[2:4]), int(text[4:])).isoformat()
    except ValueError:
        return ""
