"""Everything a person reads, in English and Simplified Chinese: one catalogue, `text.json`."""

import json
import os
from functools import cache
from pathlib import Path

LANGUAGES = ("en", "zh")


@cache
def catalogue() -> dict[str, dict[str, str]]:
    """Every text: {key: {"en": ..., "zh": ...}}; keys are dotted by place (`cli.`, `config.`, `page.` ...)."""
    texts: dict[str, dict[str, str]] = json.loads(Path(__file__).with_name("text.json").read_text(encoding="utf-8"))
    return texts


def language() -> str:
    """The reader's language, `en` or `zh`: CALLBOX_LANG first, then the locale."""
    for name in ("CALLBOX_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        if value := os.environ.get(name):
            return "zh" if value.lower().startswith("zh") else "en"
    return "en"


def shown(text: str) -> str:
    """A text from outside for a screen or a log: what does not show is escaped, as \\u001d or \\u202e.

    So no code can clear a terminal, turn a line around, or look like another one.
    """
    return "".join(char if char.isprintable() or char == "\u3000" else f"\\u{ord(char):04x}" for char in text)


def t(key: str, lang: str | None = None, /, **values: object) -> str:
    """The text of `key` with its {values} filled in; raises KeyError for a key that is not in the catalogue."""
    return catalogue()[key][lang or language()].format(**values)
