"""Papers and things in one key picture, on somebody's trigger: bar codes, the zone of a document, number plates.

    one key picture, {"what": [...]} -> python -m drivers.camera_read (drivers/picture_child.py)
        -> {"codes": [{"code", "format", ...}, ...], "reason": text}

The door to zxing-cpp (codes) and to rapidocr (text; the extra `[ocr]`, whose models come with it). It reads what is
printed, and knows no faces. Nothing of a document's holder leaves this process: see drivers/mrz.py.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from drivers import mrz, picture_child
from drivers.packets import Stream

if TYPE_CHECKING:
    from drivers.picture_child import MatLike

LIMITS: Final = picture_child.Limits(wait_s=10, cpu_s=10, memory_bytes=1 << 30)
"""Codes in a picture of 1080p take half a second of a desktop's processor, most of it to load the libraries."""
OCR_LIMITS: Final = picture_child.Limits(wait_s=30, cpu_s=30, memory_bytes=2 << 30)
"""Text takes three seconds of it, and 0.5 GB; the address space that its libraries ask for is twice as large."""
OCR: Final = {"mrz", "plate"}
CODES_MAX: Final = 20
CODE_CHARS_MAX: Final = 8_000
"""The largest QR code has 7,089 digits."""
PLATES_MAX: Final = 3
NO_OCR: Final = "mrz and plate need the extra [ocr]: pip install 'callbox[ocr]'"
NOTHING: Final = "nothing was found in the picture"

CHINESE_PLATE: Final = re.compile(
    r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][A-Z][A-Z0-9]{4,5}[A-Z0-9挂学警港澳领]"
)
"""GA 36-2018: province, office, five or (new energy) six more; some end in a character."""
OTHER_PLATE: Final = re.compile(r"(?=.*[A-Z])(?=(?:.*\d){2})[A-Z0-9]{4,8}")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text as OCR reads it. confidence: 0 to 1, of its weakest part."""

    text: str
    confidence: float


def read(stream: Stream, picture: bytes, what: Sequence[str]) -> dict[str, Any]:
    """What is read in a key picture; what: `codes`, `mrz`, `plate`. Blocks as long as its limits say.

    Raises CameraError when there is no answer.
    """
    limits = OCR_LIMITS if OCR & set(what) else LIMITS
    found: dict[str, Any] = picture_child.ask("camera_read", limits, stream, picture, what=list(what))
    return found


def look_for(picture: "MatLike", what: Iterable[str]) -> dict[str, Any]:
    """The answer of the process about a decoded picture."""
    found = codes(picture) if "codes" in what else []
    reason = ""
    if OCR & set(what):
        try:
            lines = text_lines(picture)
        except ModuleNotFoundError:
            lines, reason = [], NO_OCR
        if "mrz" in what and (document := mrz.find([line.text for line in lines])):
            found.append({"format": document.layout, "document": asdict(document)})
        if "plate" in what:
            found += plates(lines)
    return {"codes": found, "reason": reason or ("" if found else NOTHING)}


def codes(picture: "MatLike") -> list[dict[str, Any]]:
    """Each code that zxing-cpp finds: QR, EAN, PDF417, DataMatrix, Aztec and others; one told twice comes once."""
    import zxingcpp

    found: dict[tuple[str, str], dict[str, Any]] = {}
    for barcode in zxingcpp.read_barcodes(picture, text_mode=zxingcpp.TextMode.Plain):
        text = barcode.text
        if barcode.content_type is not zxingcpp.ContentType.Text:
            text = _decoded(barcode.bytes, text)
        name = barcode.format.name.lower().removesuffix("code")
        found[name, text] = {"code": text[:CODE_CHARS_MAX], "format": name}
    return list(found.values())[:CODES_MAX]


def _decoded(data: bytes, otherwise: str) -> str:
    """Bytes without a word about what they are: UTF-8, or what Chinese tickets are printed in."""
    for encoding in ("utf-8", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return otherwise


def text_lines(picture: "MatLike") -> list[Line]:
    """Lines of text from top to bottom, by rapidocr. Raises ModuleNotFoundError where that is not installed."""
    from rapidocr import RapidOCR

    one_thread = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
    read: Any = RapidOCR(params={"Global.log_level": "critical", **one_thread})(picture, use_cls=False)
    if read.boxes is None:
        return []
    boxes = [([float(x) for x, _ in box], [float(y) for _, y in box]) for box in read.boxes]
    parts = [
        (min(ys), max(ys), min(xs), Line(text, float(score)))
        for (xs, ys), text, score in zip(boxes, read.txts, read.scores, strict=True)
    ]
    return rows(parts)


def rows(parts: Iterable[tuple[float, float, float, Line]]) -> list[Line]:
    """Parts (top, bottom, left, line) of the same height joined to whole lines: OCR breaks a row at its gaps."""
    found: list[list[tuple[float, float, float, Line]]] = []
    for part in sorted(parts, key=lambda part: part[0] + part[1]):
        top, bottom = found[-1][0][:2] if found else (0.0, 0.0)
        if found and top < (part[0] + part[1]) / 2 < bottom:
            found[-1].append(part)
        else:
            found.append([part])
    lines = [[part[3] for part in sorted(row, key=lambda part: part[2])] for row in found]
    return [Line("".join(part.text for part in row), min(part.confidence for part in row)) for row in lines]


def plates(lines: Iterable[Line]) -> list[dict[str, Any]]:
    """What looks like a number plate, as candidates: those of Chinese form first, then the more certain first."""
    found = []
    for line in lines:
        text = re.sub(r"[\s·•.\-]", "", line.text.upper())
        if (chinese := CHINESE_PLATE.fullmatch(text)) or OTHER_PLATE.fullmatch(text):
            told = {"code": text, "format": "plate", "confidence": round(min(line.confidence, 1.0), 3)}
            found.append((chinese is None, -line.confidence, told))
    return [told for _, _, told in sorted(found, key=lambda each: each[:2])][:PLATES_MAX]


def _answer(asked: dict[str, Any], data: bytes) -> dict[str, Any]:
    picture = picture_child.decode(asked["codec"], data)
    if picture is None:
        return {"codes": [], "reason": "the picture cannot be decoded"}
    return look_for(picture, asked["what"])


if __name__ == "__main__":
    picture_child.serve(_answer)
