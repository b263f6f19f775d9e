"""Files of evidence by HTTPS PUT: a real box, a real nginx that takes them, a real broker for all else."""

import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from put_server import DEADLINE_S, PutServer, Putting
from real_box import Peer, RealBox, until
from stores import BODY_MAX, Papers, nginx

from agent.mail import Write
from agent.media_mail import OwedFile, PutDone
from agent.storage import open_journal
from simulators.central.wire import signed

pytestmark = pytest.mark.real

A, B = bytes(range(256)) * 1_000, b"b" * 300_000
NAME_A, NAME_B = sha256(A).hexdigest(), sha256(B).hexdigest()
CASE = "01a200e4-24bf-70ff-9531-985d5d9dc9f8"


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    return Papers(tmp_path / "store")


@pytest.fixture
def store(papers: Papers, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """nginx, whose CA is one of the system's for the box and for us."""
    monkeypatch.setenv("SSL_CERT_FILE", str(papers.ca))
    with nginx(papers) as (url, folder):
        yield url, folder


def box_with_files(tmp_path: Path, allowed: str, *files: bytes) -> RealBox:
    """It owes these files, as if its cameras had brought them before it was switched off; its broker runs."""
    box = RealBox(tmp_path, evidence={"put": [allowed]})
    (box.state_dir / "media").mkdir(parents=True)
    rows = []
    for seq, data in enumerate(files, 1):
        name = sha256(data).hexdigest()
        (box.state_dir / "media" / name).write_bytes(data)
        rows.append(OwedFile(name, seq, CASE, "alarm", "front", "2026-11-22T01:35:06Z", len(data)))
    journal = open_journal(box.state_dir).journal
    journal.write([Write(files=tuple(rows))])
    journal.close()
    box.broker.start()
    return box


class Desk(Peer):
    """Central's word, as the test wants it."""

    def __init__(self, box: RealBox) -> None:
        super().__init__(box.broker.port)
        self._box, self._key = box, box.keys["central"]

    def receipt(self, **more: object) -> None:
        """All events until now are stored, and more."""
        until(self.state, "the box has told its state")
        status = self._box.status()
        self.say("receipt", signed({"journal": status["journal"], "through": status["seq"], **more}, self._key))

    def receipts_all(self, **more: object) -> None:
        """Until nothing is owed: the box may record something between a receipt and the next."""

        def owes_nothing() -> bool:
            self.receipt(**more)
            return not any(self._box.status()["pending"].values())

        until(owes_nothing, "nothing is owed")

    def pieces(self) -> set[str]:
        """Names of the files of which pieces came over MQTT."""
        return {topic.split("/")[1] for topic, _, _ in list(self.heard) if topic.startswith("media/")}


def test_files_reach_the_store_byte_for_byte_and_are_owed_until_central_says_so(
    tmp_path: Path, store: tuple[str, Path]
) -> None:
    url, folder = store
    with box_with_files(tmp_path, f"{url}bucket/", A, B) as box, Desk(box) as desk:
        box.power_on()
        desk.receipt(put={name: f"{url}bucket/{name}?X-Amz-Signature=secret" for name in (NAME_A, NAME_B)})
        for name, data in ((NAME_A, A), (NAME_B, B)):
            until(lambda name=name: (folder / name).exists(), "the file is there")  # type: ignore[misc]
            assert (folder / name).read_bytes() == data
        assert box.status()["pending"]["media_bytes"] == len(A) + len(B)
        desk.receipts_all(media={NAME_A: len(A), NAME_B: len(B)})
        assert desk.pieces() == set()
        assert "secret" not in box.said()
        assert box.stop() == 0


def test_a_file_whose_address_has_expired_goes_in_pieces_and_the_other_by_put(
    tmp_path: Path, store: tuple[str, Path]
) -> None:
    url, folder = store
    with box_with_files(tmp_path, url, A, B) as box, Desk(box) as desk:
        box.power_on()
        desk.receipt(put={NAME_A: f"{url}expired/{NAME_A}?secret", NAME_B: f"{url}bucket/{NAME_B}?secret"})
        until(lambda: NAME_A in desk.pieces(), "a piece of the file comes over MQTT")
        desk.receipt(media={NAME_A: len(A)})
        until((folder / NAME_B).exists, "the other file is there")
        assert desk.pieces() == {NAME_A}
        assert "answers with HTTP status 403" in box.logged("it goes in pieces after 1 PUTs")
        assert "secret" not in box.said()


def test_a_box_that_is_stopped_in_the_middle_of_a_put_stops(tmp_path: Path) -> None:
    came, over = threading.Event(), threading.Event()

    def stall(*_: object) -> None:
        came.set()
        over.wait(DEADLINE_S)

    with PutServer(stall) as server:
        allowed = server.url.partition("x?")[0]
        with box_with_files(tmp_path, allowed, A + B * 30) as box, Desk(box) as desk:
            box.power_on()
            desk.receipt(put={sha256(A + B * 30).hexdigest(): server.url})
            assert came.wait(DEADLINE_S)
            assert box.stop() == 0
        over.set()


# ---- the PUT and nginx, without a box


def put(tmp_path: Path, data: bytes, url: str) -> PutDone:
    name = sha256(data).hexdigest()
    (tmp_path / name).write_bytes(data)
    return Putting(tmp_path, name, f"{url}{name}?secret").done()


def test_nginx_refuses_a_file_that_is_too_large_before_it_has_it(tmp_path: Path, store: tuple[str, Path]) -> None:
    done = put(tmp_path, b"x" * 8 * BODY_MAX, f"{store[0]}bucket/")
    assert "answers with HTTP status 413: it takes no file of this size" in done.reason


def test_a_redirect_of_nginx_is_not_followed(tmp_path: Path, store: tuple[str, Path]) -> None:
    url, folder = store
    assert "HTTP status 307" in put(tmp_path, A, f"{url}moved/").reason
    assert list(folder.iterdir()) == []


def test_nginx_with_a_certificate_of_another_ca_gets_nothing(
    tmp_path: Path, store: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, folder = store
    monkeypatch.delenv("SSL_CERT_FILE")
    assert "its certificate is not trusted" in put(tmp_path, A, f"{url}bucket/").reason
    assert list(folder.iterdir()) == []
