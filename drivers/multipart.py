"""Bytes of a stream of pictures (multipart/x-mixed-replace) in, pictures out. Knows no socket and no JPEG but its end.

Part of RFC 2046 section 5.1, as cameras do it: with and without a Content-Length of each part, with lengths that lie,
and with boundaries that have dashes too many.
"""

from typing import Final

from drivers.packets import CameraError

HEAD_BYTES_MAX: Final = 8192
PART_BYTES_MAX: Final = 8 << 20
"""A JPEG of 8 megapixels has 2 to 4 MB."""
JPEG_END: Final = b"\xff\xd9"
"""The marker EOI (ITU-T T.81, table B.1). Inside of a picture it stands at most at the end of a thumbnail."""


class Multipart:
    """Holds at most PART_BYTES_MAX and what was fed last."""

    def __init__(self, boundary: bytes) -> None:
        """boundary: as the Content-Type names it; some cameras name it with its leading dashes, some without."""
        self._mark = b"--" + boundary.strip(b"-")
        self._data = bytearray()
        self._body = 0  # where the body begins; 0: before a head
        self._length: int | None = None  # of the body, as the head says
        self._searched = 0  # before it there is no mark

    def feed(self, data: bytes) -> list[bytes]:
        """The bodies that end in `data`, unchecked. Raises CameraError: no head or no end where one must be."""
        self._data += data
        parts: list[bytes] = []
        while self._end(parts) if self._body else self._head():
            pass
        return parts

    def _head(self) -> bool:
        """Finds the next mark and the head after it. What is before the mark is nobody's."""
        mark = self._data.find(self._mark)
        if mark < 0:
            del self._data[: -len(self._mark)]
            return False
        del self._data[:mark]
        ends = [at + len(end) for end in (b"\r\n\r\n", b"\n\n") if (at := self._data.find(end, 0, HEAD_BYTES_MAX)) >= 0]
        if not ends:
            if len(self._data) >= HEAD_BYTES_MAX:
                raise CameraError(f"the head of a part has more than {HEAD_BYTES_MAX} bytes")
            return False
        self._body = self._searched = min(ends)
        self._length = _content_length(bytes(self._data[: self._body]))
        return True

    def _end(self, parts: list[bytes]) -> bool:
        """Finds the end of the body: by its length, where a JPEG ends there; else by the next mark."""
        if self._length is not None:
            end = self._body + self._length
            if len(self._data) < end:
                return False
            if self._data.endswith(JPEG_END, self._body, end):
                return self._cut(end, parts)
        end = self._data.find(self._mark, self._searched)
        if end >= 0:
            return self._cut(end, parts)
        if len(self._data) - self._body > PART_BYTES_MAX:
            raise CameraError(f"a part has more than {PART_BYTES_MAX} bytes")
        self._searched = max(self._body, len(self._data) - len(self._mark))
        return False

    def _cut(self, end: int, parts: list[bytes]) -> bool:
        body = bytes(self._data[self._body : end])
        parts.append(body.rstrip(b"-").removesuffix(b"\n").removesuffix(b"\r"))
        del self._data[:end]
        self._body = self._searched = 0
        return True


def _content_length(head: bytes) -> int | None:
    """None where there is none, or one that no picture has."""
    for line in head.split(b"\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            return length if (length := int(value.strip()[:12])) <= PART_BYTES_MAX else None
    return None
