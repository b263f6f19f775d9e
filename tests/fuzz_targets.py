"""What takes bytes from the world, each as a function that takes any bytes and never raises: for fuzzers."""

from collections.abc import Callable

from drivers.scanner import ScannerOptions, ScannerParser
from drivers.scans import ScanInput


def scanner(data: bytes) -> None:
    """In two pieces and a silence, with a terminator and without."""
    for end_ms in (0, 100):
        parser = ScannerParser({"desk": ScanInput()}, ScannerOptions("/dev/null", end_ms=end_ms))
        for now_s, piece in enumerate((data[: len(data) // 2], data[len(data) // 2 :], b"")):
            parser.feed(piece, now_s * 9.0)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "scanner": scanner,
}
