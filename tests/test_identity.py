"""The box's key, its signatures, and the check of a chain."""

import stat
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import rfc8785
import written
from bench_box import BOX_KEY, CENTRAL
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from written import SIGNER

from agent.events import Draft, Stamp
from agent.identity import (
    KEY_FILE,
    ChainCheck,
    Ed25519Signer,
    b64,
    load_or_make_key,
    public_key,
    signed_by,
    site_hash,
    site_key,
    unb64,
    verify_chain,
)
from agent.models_scans import ScanData


def events(count: int, signer: Ed25519Signer = SIGNER) -> list[tuple[int, bytes]]:
    chain = written.chain("9b1deb4d", key=signer)
    data: list[ScanData] = [{"input": "desk", "code": str(n)} for n in range(count)]
    drafts = [Draft(f"id-{n}", "scan.code", "desk", Stamp(n, n * 1_000_000), one) for n, one in enumerate(data)]
    return [(event.seq, event.body) for event in map(chain.seal, drafts)]


# ---- signatures


@pytest.mark.parametrize(
    ("secret", "public", "message", "signature"),
    [  # RFC 8032, section 7.1, tests 2 and 3
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ],
)
def test_ed25519_signs_as_rfc_8032_does(secret: str, public: str, message: str, signature: str) -> None:
    signer = Ed25519Signer(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret)))
    assert signer.alg == "Ed25519"
    assert signer.public.hex() == public
    assert signer.sign(bytes.fromhex(message)).hex() == signature


def test_a_message_is_signed_over_its_canonical_form_without_sig() -> None:
    message = {"z": 1, "a": "\u6765"}
    sig = b64(BOX_KEY.sign('{"a":"\u6765","z":1}'.encode()))
    assert signed_by(SIGNER.public, {**message, "sig": sig})
    assert not signed_by(SIGNER.public, {**message, "z": 2, "sig": sig})
    assert not signed_by(CENTRAL.public_key().public_bytes_raw(), {**message, "sig": sig})
    assert not signed_by(SIGNER.public, message)


def test_a_signature_has_one_spelling() -> None:
    """The last character of 86 carries 4 spare bits: another one would decode to the same 64 bytes."""
    sig = b64(BOX_KEY.sign(b"{}"))
    assert signed_by(SIGNER.public, {"sig": sig})
    others = [sig[:-1] + char for char in "ABCDEFGHQgwx_-" if sig[:-1] + char != sig]
    assert not any(signed_by(SIGNER.public, {"sig": other}) for other in others)
    assert not signed_by(SIGNER.public, {"sig": sig + "=="})


@pytest.mark.parametrize("text", ["", "AA", "A" * 42, "A" * 44, "A" * 42 + "=", "A" * 42 + "B", "+" * 43, "é" * 43])
def test_32_bytes_are_43_characters_of_base64url_and_nothing_else(text: str) -> None:
    assert unb64("A" * 43, 32) == bytes(32)
    with pytest.raises(ValueError, match=r"base64url|ASCII"):
        unb64(text, 32)


# ---- the chain


def test_a_whole_chain_is_whole_from_any_place_on() -> None:
    assert verify_chain(events(10), SIGNER.public) is None
    assert verify_chain([], SIGNER.public) is None


def test_a_missing_event_shows() -> None:
    chain = events(5)
    assert verify_chain(chain[:2] + chain[3:], SIGNER.public) == "seq 3: missing (the next one is 4)"
    assert verify_chain(chain[1:], SIGNER.public) == "seq 1: missing (the next one is 2)"


def test_a_changed_byte_shows_wherever_it_is() -> None:
    chain = events(3)
    body = chain[1][1]
    for at in range(0, len(body), 7):
        changed = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        problem = verify_chain([chain[0], (2, changed), chain[2]], SIGNER.public)
        assert problem is not None, f"byte {at}"
        assert problem.startswith("seq 2: ")


def test_swapped_events_show() -> None:
    chain = events(4)
    problem = verify_chain([chain[0], (2, chain[2][1]), (3, chain[1][1]), chain[3]], SIGNER.public)
    assert problem == "seq 2: changed (not the bytes of event 2)"


def test_an_event_that_joins_another_chain_shows() -> None:
    chain, other = events(3), events(3, Ed25519Signer(CENTRAL))
    assert verify_chain([chain[0], (2, other[1][1])], SIGNER.public) == (
        "seq 2: does not join the event before it (prevhash)"
    )


def test_a_chain_forged_with_another_key_shows() -> None:
    assert verify_chain(events(3, Ed25519Signer(CENTRAL)), SIGNER.public) == "seq 1: the signature is not this key's"


@pytest.mark.parametrize("body", [b"", b"x", b"[]", b"7", b"null", b"[" * 5000, b'{"boxseq":1}', b"\xff"])
def test_what_is_no_event_shows_and_stops_nothing(body: bytes) -> None:
    problem = verify_chain([(1, body)], SIGNER.public)
    assert problem is not None
    assert problem.startswith("seq 1: ")


def test_the_same_content_written_otherwise_is_changed() -> None:
    [(seq, body)] = events(1)
    spaced = body.replace(b":", b": ", 1)
    assert verify_chain([(seq, spaced)], SIGNER.public) == "seq 1: changed (not the bytes of event 1)"


# ---- holes


class Journal:
    """A journal whose events go, as a box's do: the rows, and the records that it signs."""

    def __init__(self) -> None:
        self.chain = written.chain("9b1deb4d")
        self.rows: dict[int, bytes] = {}
        self.bodies: dict[int, bytes] = {}

    def seal(self, type: str = "scan.code", **data: Any) -> int:
        made: Any = data or {"input": "desk"}
        event = self.chain.seal(Draft(f"id-{self.chain.seq}", type, "desk", Stamp(1.0, 1), made))
        self.rows[event.seq] = self.bodies[event.seq] = event.body
        return event.seq

    def fill(self, count: int) -> None:
        for _ in range(count):
            self.seal()

    def hole(self, first: int, last: int, of: int = 0) -> list[Any]:
        """As a record names it. of: another event than the last whose hash is named."""
        return [first, last, b64(sha256(self.bodies[of or last]).digest())]

    def drop(self, first: int, last: int) -> None:
        for seq in range(first, last + 1):
            self.rows.pop(seq, None)

    def record(self, *holes: Any) -> int:
        return self.seal("audit.pruned", cause="days", count=1, holes=list(holes))

    def prune(self, first: int, last: int, whole: int = 0) -> int:
        """What goes, and its record. whole: the first boxseq of the hole with those that it joins."""
        self.drop(first, last)
        return self.record(self.hole(whole or first, last))

    @property
    def problem(self) -> str | None:
        return verify_chain(self.rows.items(), SIGNER.public)


@pytest.fixture
def journal() -> Journal:
    made = Journal()
    made.fill(10)
    return made


@pytest.mark.parametrize(("first", "last"), [(1, 1), (1, 9), (3, 5), (9, 9)])
def test_a_hole_that_a_signed_record_names_is_none_of_the_missing(journal: Journal, first: int, last: int) -> None:
    journal.drop(first, last)
    assert journal.problem == f"seq {first}: missing (the next one is {last + 1})"
    journal.record(journal.hole(first, last))
    assert journal.problem is None


def test_a_hole_that_grew_is_proven_by_the_record_that_names_it_as_it_is_now(journal: Journal) -> None:
    journal.prune(2, 3)
    journal.prune(6, 7)
    journal.prune(4, 5)  # the record names its own part alone
    assert journal.problem == "seq 2: missing (the next one is 8)"
    journal.record(journal.hole(2, 7))
    assert journal.problem is None
    journal.prune(8, 9, whole=2)
    assert journal.problem is None
    check = ChainCheck(SIGNER.public)
    for seq, body in journal.rows.items():
        check.see(seq, body)
    assert [hole[:2] for hole in check.holes] == [(2, 9)]
    assert check.events == len(journal.rows)


def test_more_than_the_record_names_is_missing(journal: Journal) -> None:
    journal.prune(3, 5)
    journal.drop(6, 6)
    assert journal.problem == "seq 3: missing (the next one is 7)"


def test_less_than_the_record_names_may_be_missing_at_its_beginning_and_never_at_its_end(journal: Journal) -> None:
    """Who reads in pages may have read the first of them before they went."""
    journal.prune(3, 5)
    journal.rows = dict(sorted({**journal.rows, 3: journal.bodies[3]}.items()))
    assert journal.problem is None
    journal.rows = dict(sorted({**journal.rows, 5: journal.bodies[5]}.items()))
    assert journal.problem == "seq 4: missing (the next one is 5)"


def test_the_event_after_a_hole_must_name_the_hash_that_the_record_names(journal: Journal) -> None:
    journal.drop(3, 5)
    journal.record(journal.hole(3, 5, of=4))
    assert journal.problem == "seq 6: does not join the hole before it (prevhash)"
    journal.record(journal.hole(3, 5))
    assert journal.problem is None


def test_a_record_that_another_key_signed_proves_nothing(journal: Journal) -> None:
    journal.drop(3, 5)
    journal.chain._signer = Ed25519Signer(CENTRAL)
    forged = journal.record(journal.hole(3, 5))
    assert journal.problem == "seq 3: missing (the next one is 6)"
    journal.chain._signer = SIGNER
    journal.record(journal.hole(3, 5))
    assert journal.problem == f"seq {forged}: the signature is not this key's"


def test_a_record_that_is_not_in_the_chain_proves_nothing(journal: Journal) -> None:
    """A true one, signed by this box, of another life of the journal: it does not join."""
    other = Journal()
    other.fill(9)
    other.seal("scan.code", input="another")
    record = other.record(journal.hole(3, 5))
    journal.drop(3, 5)
    journal.rows[record] = other.bodies[record]
    assert journal.problem == "seq 3: missing (the next one is 6)"
    del journal.rows[record]
    journal.record(journal.hole(3, 5))
    assert journal.problem is None


def test_a_record_whose_bytes_were_changed_proves_nothing(journal: Journal) -> None:
    journal.drop(3, 5)
    record = journal.record(journal.hole(2, 5))
    journal.rows[record] = journal.rows[record].replace(b"[[2,5,", b"[[3,5,")
    assert journal.problem == "seq 3: missing (the next one is 6)"


def test_where_the_event_after_a_hole_was_changed_that_event_is_named_and_not_the_hole(journal: Journal) -> None:
    journal.prune(3, 5)
    journal.rows[6] = journal.rows[6].replace(b"desk", b"dask")
    assert journal.problem == "seq 6: the signature is not this key's"
    journal.rows[6] = b"x"
    assert journal.problem == "seq 6: not JSON"
    check = ChainCheck(SIGNER.public)
    for row in journal.rows.items():
        check.see(*row)
    assert (check.missing, [hole[:2] for hole in check.holes]) == ({}, [(3, 5)])


def test_the_first_of_several_faults_is_named(journal: Journal) -> None:
    journal.rows[8] = b"x"
    journal.prune(2, 3)
    assert journal.problem == "seq 8: not JSON"
    journal.drop(5, 5)
    assert journal.problem == "seq 5: missing (the next one is 6)"


@pytest.mark.parametrize("holes", [None, 7, {}, [7], [[3, 5]], [[3, 5, None]], [["3", 5, "h"]], [[True, 5, "h"]]])
def test_a_signed_record_of_another_shape_stops_nothing(journal: Journal, holes: Any) -> None:
    journal.drop(3, 5)
    journal.seal("audit.pruned", cause="days", count=1, holes=holes)
    assert journal.problem == "seq 3: missing (the next one is 6)"
    journal.record(journal.hole(3, 5))
    assert journal.problem is None


# ---- the key file


def test_a_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    state_dir = tmp_path / "state"
    made = load_or_make_key(state_dir)
    assert stat.S_IMODE((state_dir / KEY_FILE).stat().st_mode) == 0o600
    assert load_or_make_key(state_dir).public == made.public == public_key(state_dir)
    message = rfc8785.dumps({"a": 1})
    assert signed_by(made.public, {"a": 1, "sig": b64(made.sign(message))})


def test_what_a_crash_left_of_a_key_is_replaced(tmp_path: Path) -> None:
    leftover = tmp_path / "box.new"
    leftover.write_bytes(b"-----BEGIN PRIV")
    leftover.chmod(0o644)
    load_or_make_key(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [KEY_FILE]
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600


def pem(key: object, password: bytes | None = None) -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    raw: bytes = key.private_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )
    return raw


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "box.key"),
        (b"not a key", "box.key"),
        (pem(BOX_KEY, b"secret"), "box.key"),
        (pem(generate_private_key(65537, 2048)), "a key of another kind"),
    ],
    ids=["empty", "garbage", "locked", "another kind"],
)
def test_a_file_that_holds_no_key_is_named_and_never_overwritten(tmp_path: Path, content: bytes, found: str) -> None:
    file = tmp_path / KEY_FILE
    file.write_bytes(content)
    with pytest.raises(ValueError, match=found):
        load_or_make_key(tmp_path)
    assert file.read_bytes() == content


def test_a_box_without_a_key_has_no_public_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        public_key(tmp_path)


# ---- the site's key


def test_a_site_key_is_the_files_bytes_without_the_end_of_line(tmp_path: Path) -> None:
    file = tmp_path / "site"
    file.write_bytes(b"0123456789abcdef\n")
    assert site_key(file) == b"0123456789abcdef"
    file.write_bytes(b"0123456789abcde\n")
    with pytest.raises(ValueError, match="found 15 bytes, at least 16 are wanted"):
        site_key(file)


def test_what_is_hashed_for_one_purpose_or_under_another_key_says_nothing_of_it() -> None:
    key = b"0123456789abcdef"
    found = site_hash(key, "list", "L898902C3")
    assert (
        found.hex() == "f35d493192799d11c736000bfba74555ba09da865208a9d46daecf7b10d9e55d"
    )  # printf 'list\0L898902C3' | openssl dgst -sha256 -hmac 0123456789abcdef
    assert len({found, site_hash(key, "number", "L898902C3"), site_hash(b"x" * 16, "list", "L898902C3")}) == 3
