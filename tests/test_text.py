"""Everything a person reads: in both languages, with the same placeholders, and none that is missing or unused."""

import ast
import json
import re
from pathlib import Path
from string import Formatter

import pytest
from bench_box import Bench
from written import Written

from agent.status_table import status_table
from agent.text import LANGUAGES, catalogue, language, shown, t

ROOT = Path(__file__).parent.parent
SOURCES = [file for folder in ("agent", "simulators") for file in sorted((ROOT / folder).rglob("*.py"))]
PAGE = sorted(file for file in (ROOT / "simulators").rglob("*") if file.suffix in (".html", ".js"))
KEY = re.compile(r"[a-z]+(\.[a-z0-9_]+)+")
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("key", sorted(catalogue()))
def test_a_text_is_there_in_both_languages_with_the_same_placeholders(key: str) -> None:
    texts = catalogue()[key]
    assert set(texts) == set(LANGUAGES)
    assert all(text.strip() for text in texts.values())
    assert placeholders(texts["en"]) == placeholders(texts["zh"])
    assert "" not in placeholders(texts["en"]), "placeholders have names"
    assert KEY.fullmatch(key)


def test_the_chinese_is_chinese_and_the_english_is_not() -> None:
    """The button that changes the language is written in the other one."""
    for key, texts in catalogue().items():
        if key == "page.language" or texts["en"] == texts["zh"]:
            continue
        words = re.sub(r"\{[^}]*\}", "", texts["zh"])
        assert CHINESE.search(words) or not re.search("[A-Za-z]", words), f"{key}: {texts['zh']}"
        assert not CHINESE.search(texts["en"]), f"{key}: {texts['en']}"


def test_the_catalogue_is_sorted_so_that_two_who_add_to_it_do_not_meet() -> None:
    keys = list(json.loads((ROOT / "agent/text.json").read_text(encoding="utf-8")))
    assert keys == sorted(keys)


def used() -> tuple[dict[str, str], dict[str, str]]:
    """Where each key is named whole, and each beginning of one that is put together, as f"cli.{name}"."""
    whole: dict[str, str] = {}
    begun: dict[str, str] = {}
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "t" and node.args):
                continue
            where = f"{file.relative_to(ROOT)}:{node.lineno}"
            match node.args[0]:
                case ast.Constant(value=str(key)):
                    whole[key] = where
                case ast.JoinedStr(values=[ast.Constant(value=str(start)), *_]):
                    begun[start] = where
    return whole, begun


def test_every_key_that_the_code_names_is_in_the_catalogue() -> None:
    whole, begun = used()
    assert len(whole) > 50, "the code is looked at"
    assert len(begun) > 3
    missing = {key: where for key, where in whole.items() if key not in catalogue()}
    missing |= {
        f"{start}...": where for start, where in begun.items() if not any(key.startswith(start) for key in catalogue())
    }
    assert missing == {}


def test_every_key_that_the_page_names_is_in_the_catalogue() -> None:
    named = {
        key: f"{file.name}"
        for file in PAGE
        for key in re.findall(r"""["'`](page\.[a-z0-9_.]+)["'`]""", file.read_text(encoding="utf-8"))
    }
    assert len(named) > 10, "the page is looked at"
    assert {key: file for key, file in named.items() if key not in catalogue()} == {}


def test_every_text_is_used_somewhere() -> None:
    """A key is used when it stands in the code or page, whole or as what an f-string or a template begins with."""
    _, begun = used()
    sources = "\n".join(file.read_text(encoding="utf-8") for file in SOURCES + PAGE)
    quoted = set(re.findall(r"""["'`]([a-z]+\.[a-z0-9_.]+)["'`$]""", sources))
    starts = [*begun, *re.findall(r"`([a-z]+\.[a-z0-9_.]*)\$\{", sources)]
    unused = [key for key in catalogue() if key not in quoted and not key.startswith(tuple(starts))]
    assert unused == []


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"CALLBOX_LANG": "zh"}, "zh"),
        ({"CALLBOX_LANG": "en", "LANG": "zh_CN.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LC_ALL": "C.UTF-8", "LANG": "zh_CN.UTF-8"}, "en"),
        ({"LC_ALL": "", "LANG": "zh_CN.UTF-8"}, "zh"),
        ({"CALLBOX_LANG": "de"}, "en"),
        ({}, "en"),
    ],
)
def test_the_language_is_the_readers(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str
) -> None:
    for name in ("CALLBOX_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert language() == expected


def test_a_text_is_filled_in_and_a_missing_one_is_an_error() -> None:
    assert t("cli.since", "en", seconds=5) != t("cli.since", "zh", seconds=5)
    assert "5" in t("cli.since", "zh", seconds=5)
    with pytest.raises(KeyError):
        t("cli.no_such_text")


CODE = "10AB\x1d\x1b[2J\x7f\x9b2J\u202e\u200b票　A\\"


def test_what_does_not_show_in_a_text_from_outside_is_escaped() -> None:
    assert shown(CODE) == r"10AB\u001d\u001b[2J\u007f\u009b2J\u202e\u200b票　A" + "\\"


def test_no_code_of_a_scanner_reaches_a_terminal_raw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal = Written(tmp_path)
    journal.write("scan.code", {"input": "desk", "code": CODE})
    journal.journal.close()
    code, out = journal.run(capsys, "events")
    assert code == 0
    assert r"code=" in out
    assert r"\u009b2J\u202e" in out
    assert [char for char in out if not char.isprintable() and char not in "\n　"] == []


def test_no_word_of_a_device_reaches_a_terminal_raw_by_the_status() -> None:
    status = Bench().box.status()
    status["trouble"] = {"input desk": f"offline: {CODE}"}
    assert [char for char in status_table(status) if not char.isprintable() and char not in "\n　"] == []
