"""The simulated central's bucket: addresses as Amazon signs them, and objects that come from there."""

import hashlib
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from central_bench import Bench
from fakebox import FakeBox

from simulators.central import bucket
from simulators.central.bucket import ADDRESSES_MAX, Bucket, presigned
from simulators.central.hub import Hub
from simulators.central.receipts import FILES_MAX, Receipts

DATA = bytes(range(256)) * 1_000
SHA256 = hashlib.sha256(DATA).hexdigest()
NAMED = {"sha256": SHA256, "plain_sha256": SHA256, "bytes": len(DATA), "media_type": "video/mp2t"}
NAMED |= {"from": "2026-11-22T01:35:06Z", "to": "2026-11-22T01:35:07Z"}


def test_an_address_is_signed_as_in_amazons_own_example() -> None:
    """Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters", the example at its end."""
    secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    at = datetime(2013, 5, 24, tzinfo=UTC)
    url = "https://examplebucket.s3.amazonaws.com/test.txt"
    assert presigned("GET", url, "AKIAIOSFODNN7EXAMPLE", secret, at, 86_400, "us-east-1") == (
        "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


@pytest.mark.parametrize(
    ("url", "credentials"),
    [
        ("https://store.example/evidence", "key secret"),
        ("ftp://store.example/evidence/", "key secret"),
        ("https://store.example/evidence/", "key"),
        ("https://store.example/evidence/", "key secret more"),
        ("https://store.example/evidence/", ""),
    ],
)
def test_what_is_no_bucket_or_no_credentials_is_refused(url: str, credentials: str) -> None:
    with pytest.raises(ValueError, match="wanted"):
        Bucket(url, credentials)


def test_a_receipt_with_many_files_keeps_within_the_64_kb_that_a_box_reads() -> None:
    receipts = Receipts([("a/b", "9b1deb4d", 3 * n, 3 * n) for n in range(1, 300)])
    files = [f"{n:064x}" for n in range(1, FILES_MAX + 1)]
    (_, body), *_ = receipts.take_all("a/b", "9b1deb4d", files)
    body["put"] = Bucket("https://media.store.example/evidence/", "AKIAIOSFODNN7EXAMPLE s").addresses(body["media"])
    assert len(body["put"]) == ADDRESSES_MAX
    assert len(json.dumps(body)) + 100 <= 65_536


class FakeStore(ThreadingHTTPServer):
    """Objects by name. Who asks without a signature gets none."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Asked)
        self.objects: dict[str, bytes] = {}
        self.asked = threading.Semaphore(0)
        """Released once for each question."""


class Asked(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, FakeStore)
        path, _, query = self.path.partition("?")
        data = self.server.objects.get(path.rpartition("/")[2]) if "X-Amz-Signature=" in query else None
        self.send_response(404 if data is None else 200)
        if data is not None:
            self.send_header("ETag", hashlib.md5(data).hexdigest())  # noqa: S324
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        self.wfile.write(data or b"")
        self.server.asked.release()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def store() -> Iterator[FakeStore]:
    with FakeStore() as store:
        threading.Thread(target=store.serve_forever, daemon=True).start()
        yield store
        store.shutdown()


@pytest.fixture
def bench(tmp_path: Path, store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A central whose bucket is in that store."""
    monkeypatch.setattr(bucket, "LOOK_EVERY_S", 0.01)
    shelf = Bucket(f"http://127.0.0.1:{store.server_port}/evidence/", "key secret")
    monkeypatch.setattr("central_bench.Hub", partial(Hub, bucket=shelf))
    bench = Bench(tmp_path / "central.db")
    yield bench
    bench.close()


def media(receipts: list[dict[str, Any]]) -> list[int]:
    """What was said of the file, in order."""
    return [receipt["media"][SHA256] for receipt in receipts if SHA256 in receipt.get("media", {})]


def named(bench: Bench) -> FakeBox:
    """A box has named the file, and has an address for it."""
    box = FakeBox()
    bench.send(box, "state", box.state())
    bench.send(box, "event/status", box.evidence("c", "front", NAMED))
    (receipt, *_) = [r for r in bench.receipts(lambda all: any("put" in r for r in all)) if "put" in r]
    assert receipt["put"][SHA256].partition("?")[0].endswith(f"/evidence/{SHA256}")
    return box


def test_an_object_is_read_back_checked_and_receipted_and_no_address_named_again(
    bench: Bench, store: FakeStore
) -> None:
    box = named(bench)
    store.objects[SHA256] = DATA
    receipts = bench.receipts(lambda all: len(DATA) in media(all))
    assert bench.path.with_name("central.db.media").joinpath(SHA256).read_bytes() == DATA
    assert media(receipts)[-1] == len(DATA)
    before = len(receipts)
    bench.send(box, "state", box.state(session="another"))
    later = bench.receipts(lambda all: len(DATA) in media(all[before:]))[before:]
    assert not any("put" in receipt for receipt in later)


def test_an_object_with_a_wrong_hash_sends_the_file_back_once(bench: Bench, store: FakeStore) -> None:
    named(bench)
    store.objects[SHA256] = bytes(len(DATA))
    for _ in range(10):
        assert store.asked.acquire(timeout=20)
    assert media(bench.receipts(lambda all: len(media(all)) > 1))[1:] == [0]
    assert bench.rows("SELECT wrong FROM media") == [(1,)]
    store.objects[SHA256] = DATA
    assert bench.receipts(lambda all: len(DATA) in media(all))


def test_a_store_that_is_away_stops_nothing(bench: Bench, store: FakeStore) -> None:
    box = named(bench)
    store.shutdown()
    store.server_close()
    bench.send(box, "event/alarm", box.press())
    assert bench.receipts(lambda all: any(receipt["through"] == 2 for receipt in all))
