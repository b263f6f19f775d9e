"""A bucket in an S3-compatible store where boxes put files of evidence: central names the addresses and reads it back.

An address is pre-signed (AWS Signature Version 4, query parameters): whoever has it may put this one object there for
an hour, and no credential of the store is ever on a box.
"""

import hashlib
import hmac
import logging
import sqlite3
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit

from simulators.central.broker import Message
from simulators.central.evidence import FILE_BYTES_MAX
from simulators.central.wire import PIECE_BYTES_MAX

if TYPE_CHECKING:
    from simulators.central.hub import Mail

log = logging.getLogger("central")
ADDRESSES_MAX = 30  # in one receipt, which has 64 KB; further files come over MQTT
EXPIRES_S = 3600
LOOK_EVERY_S = 1.0
ANSWER_S = 10.0

Key = tuple[str, str]  # box, sha256


def presigned(method: str, url: str, key: str, secret: str, at: datetime, expires_s: int, region: str) -> str:
    """`url` with a signature in its query, good for `expires_s` from `at`, whatever the body.

    url: without a query. Source: Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters".
    """
    parts, date = urlsplit(url), f"{at:%Y%m%d}"
    scope = f"{date}/{region}/s3/aws4_request"
    query = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{key}/{scope}",
        "X-Amz-Date": f"{at:%Y%m%dT%H%M%SZ}",
        "X-Amz-Expires": str(expires_s),
        "X-Amz-SignedHeaders": "host",
    }
    asked = urlencode(query, quote_via=quote, safe="")
    request = f"{method}\n{parts.path}\n{asked}\nhost:{parts.netloc}\n\nhost\nUNSIGNED-PAYLOAD"
    text = f"AWS4-HMAC-SHA256\n{query['X-Amz-Date']}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    signer = f"AWS4{secret}".encode()
    for step in (date, region, "s3", "aws4_request", text):
        signer = hmac.digest(signer, step.encode(), "sha256")
    return f"{url}?{asked}&X-Amz-Signature={signer.hex()}"


class Bucket:
    """url: of the bucket, with / at its end. credentials: KEY SECRET. `look` runs in a thread of its own."""

    def __init__(self, url: str, credentials: str, region: str = "us-east-1") -> None:
        """Raises ValueError for what is no address of a bucket, or no KEY SECRET."""
        words = credentials.split()
        if len(words) != 2:
            raise ValueError(f"the file of the bucket's credentials has {len(words)} words; KEY SECRET is wanted")
        self._key, self._secret = words
        if urlsplit(url).scheme not in ("http", "https") or not url.endswith("/"):
            raise ValueError(f"{url}: the address of a bucket is wanted, with / at its end")
        self._url, self._region = url, region
        self._seen: dict[Key, str] = {}  # the ETag of what was read
        self._end = threading.Event()

    def addresses(self, media: Mapping[str, int]) -> dict[str, str]:
        """For a receipt: where to put the files of which nothing is here."""
        wanted = [sha256 for sha256, size in media.items() if size == 0]
        return {sha256: self._address("PUT", sha256) for sha256 in wanted[:ADDRESSES_MAX]}

    def _address(self, method: str, sha256: str) -> str:
        at = datetime.fromtimestamp(time.time(), UTC)
        return presigned(method, self._url + sha256, self._key, self._secret, at, EXPIRES_S, self._region)

    def start(self, post: Callable[["Mail"], None], unfinished: Callable[[], "Future[list[Key]]"]) -> None:
        """Begins to look for objects. post: to the hub. unfinished: files that are named and not whole."""

        def look() -> None:
            while not self._end.wait(LOOK_EVERY_S):
                try:
                    for box, sha256 in unfinished().result(ANSWER_S):
                        self._look(box, sha256, post)
                except (OSError, HTTPException, sqlite3.Error) as error:
                    log.warning("the bucket cannot be read: %s", error)

        threading.Thread(target=look, name="central-bucket", daemon=True).start()

    def stop(self) -> None:
        """No further look begins."""
        self._end.set()

    def _look(self, box: str, sha256: str, post: Callable[["Mail"], None]) -> None:
        """An object that is new goes to the hub as pieces do: it is checked, stored and receipted like them."""
        try:
            with urllib.request.urlopen(self._address("GET", sha256), timeout=ANSWER_S) as response:  # noqa: S310
                etag = response.headers.get("ETag", "")
                if self._seen.get((box, sha256)) == etag:
                    return
                data = response.read(FILE_BYTES_MAX + 1)
        except urllib.request.HTTPError as error:
            error.close()
            if error.code != 404:
                log.warning("file %s: the bucket answers with HTTP status %d", sha256, error.code)
            return
        self._seen[box, sha256] = etag
        for at in range(0, len(data), PIECE_BYTES_MAX):
            topic = f"callbox/1/{box}/media/{sha256}/{at}"
            post(Message(topic, data[at : at + PIECE_BYTES_MAX], retain=False, mid=0, generation=-1))
