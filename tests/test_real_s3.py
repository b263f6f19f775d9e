"""Pre-signed addresses at an S3-compatible store that checks their signatures, and a real box, camera and central."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from put_server import Putting
from real_box import RealBox
from seeing_box import button, camera_of, ended, files, ready
from sim_camera import SimCamera
from stores import S3_KEY, S3_SECRET, Papers, swift

from agent.media_mail import PutDone
from simulators.central.bucket import Bucket, presigned

pytestmark = [pytest.mark.real, pytest.mark.soak]
DATA = bytes(range(256)) * 1_000
NAME = sha256(DATA).hexdigest()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a bucket whose certificate is of one of the system's CAs."""
    papers = Papers(tmp_path_factory.mktemp("store") / "store")
    with pytest.MonkeyPatch.context() as patch, swift(papers) as url:
        patch.setenv("SSL_CERT_FILE", str(papers.ca))
        with urlopen(Request(signed("PUT", url.rstrip("/")), method="PUT")):  # noqa: S310
            pass
        yield url


def signed(method: str, url: str, *, ago: timedelta = timedelta(0), secret: str = S3_SECRET) -> str:
    """Good for a minute."""
    return presigned(method, url, S3_KEY, secret, datetime.now(UTC) - ago, 60, "us-east-1")


def put(folder: Path, address: str) -> PutDone:
    (folder / NAME).write_bytes(DATA)
    return Putting(folder, NAME, address).done()


def test_what_was_put_to_a_pre_signed_address_is_read_back_byte_for_byte(tmp_path: Path, store: str) -> None:
    assert put(tmp_path, signed("PUT", store + NAME)) == PutDone(NAME)
    with urlopen(signed("GET", store + NAME)) as response:  # noqa: S310
        assert response.read() == DATA


def test_the_store_refuses_an_address_that_is_not_signed_for_this(tmp_path: Path, store: str) -> None:
    good = signed("PUT", store + NAME)
    refused = {
        "expired": signed("PUT", store + NAME, ago=timedelta(hours=1)),
        "with another secret": signed("PUT", store + NAME, secret="another"),
        "for another object": good.replace(NAME, "c0" * 32),
        "for another verb": signed("GET", store + NAME),
    }
    for why, address in refused.items():
        done = put(tmp_path, address)
        assert done.expired, f"{why}: {done}"
    assert put(tmp_path, good) == PutDone(NAME)


def test_the_clip_of_a_press_reaches_central_through_the_bucket(tmp_path: Path, store: str) -> None:
    with SimCamera(fps=10, gop=10, codec="h264") as camera:
        changes: dict[str, Any] = {
            "cameras": [camera_of(camera.url)],
            "inputs": [button("front")],
            "evidence": {"put": [store]},
        }
        with RealBox(tmp_path, **changes) as box:
            box.bucket = Bucket(store, f"{S3_KEY} {S3_SECRET}")
            box.broker.start()
            box.start_central()
            box.power_on()
            box.armed()
            ready(box)
            box.press()
            found = files(box, ended(box))
            log = box.said()
        objects = {file.told["sha256"]: bucket_has(store, file.told["sha256"]) for file in found}
    whole = {name: data for name, data in objects.items() if data is not None}
    assert len(found) > 4
    assert len(whole) > len(found) / 2, "but for what went in pieces before its address came"
    for name, data in whole.items():
        assert sha256(data).hexdigest() == name
    assert "it goes in pieces" not in log
    assert "X-Amz" not in log


def bucket_has(store: str, name: str) -> bytes | None:
    try:
        with urlopen(signed("GET", store + name)) as response:  # noqa: S310
            data: bytes = response.read()
            return data
    except HTTPError as error:
        error.close()
        assert error.code == 404
        return None
