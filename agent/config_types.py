"""What config keys are made of: closed groups, names, keys, files and numbers with a unit."""

import base64
import binascii
import os
import re
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from agent.config_errors import SHOWN_MAX, Fault, show
from agent.polygons import Polygon, area, corners, meeting
from agent.text import t

# Otherwise pydantic reads the metadata of every installed package, to ask whether one wants to have a hand in this.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

LOOPBACK: Final = re.compile(r"localhost|127(\.\d{1,3}){3}|::1")


def wrong(*faults: Fault) -> PydanticCustomError:
    """Errors in our own words; the path of each counts from the value that is validated."""
    return PydanticCustomError("config", "wrong value", {"faults": faults})


def number(low: float, high: float, unit: str, doc: str, default: Any = ...) -> Any:
    """A field in a unit, from low to high, both included."""
    return Field(default, ge=low, le=high, description=doc, json_schema_extra={"unit": unit} if unit else None)


def _key_bytes(text: object) -> object:
    """An Ed25519 public key: 32 bytes in base64url without padding, 43 characters (RFC 4648, section 5)."""
    if isinstance(text, str) and len(text) == 43:
        try:
            raw = base64.b64decode(text + "=", altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        if base64.urlsafe_b64encode(raw).decode().rstrip("=") == text:
            return raw
    raise wrong(Fault((), show(text), t("config.ed25519")))


MASK_CORNERS_MAX = 64
MASK_AREA_MIN = 1e-6
"""Two pixels of 1080p: what is less is a line, which hides nothing."""


def _mask(told: object) -> object:
    """A polygon that can be meant."""
    if not isinstance(told, list) or not 3 <= len(told) <= MASK_CORNERS_MAX:
        raise wrong(Fault((), show(told), t("config.mask")))
    if faults := [Fault((n,), str(xy)[:SHOWN_MAX], t("config.mask")) for n, xy in enumerate(told) if not _corner(xy)]:
        raise wrong(*faults)
    polygon = corners([(float(x), float(y)) for x, y in told])
    if edges := meeting(polygon):
        raise wrong(Fault((), t("config.mask_meets", one=edges[0], other=edges[1]), t("config.mask_plain")))
    if len(polygon) < 3 or area(polygon) < MASK_AREA_MIN:
        raise wrong(Fault((), t("config.mask_flat"), t("config.mask")))
    return polygon


def _corner(xy: object) -> bool:
    return isinstance(xy, list) and len(xy) == 2 and all(type(part) in (int, float) and 0 <= part <= 1 for part in xy)


def _from_config_folder(path: Path, info: ValidationInfo) -> Path:
    folder: Path | None = (info.context or {}).get("folder")
    return folder / path if folder else path


def secrets(url: str) -> list[Fault]:
    """A secret never stands in the config, and so never in a log, a backup or a ticket either."""
    scheme, _, rest = url.partition("://")
    return [Fault((), f"{scheme}://***@…", t("config.no_secret"))] if "@" in rest.partition("/")[0] else []


CAMERA_SCHEMES: Final = ("rtsp", "rtsps", "http", "https")


def _camera_source(source: str, info: ValidationInfo) -> str:
    if faults := secrets(source):
        raise wrong(*faults)
    if "://" not in source and source.strip():
        return str(_from_config_folder(Path(source), info))
    try:
        parts = urlsplit(source)
        ok = parts.scheme in CAMERA_SCHEMES and parts.hostname and parts.port != 0 and not re.search(r"\s", source)
    except ValueError:  # a port that is none, a bracket that is not closed
        ok = False
    if not ok:
        raise wrong(Fault((), show(source), t("config.source")))
    return source


def _put_prefix(url: str) -> str:
    """The beginning of addresses: closed by a /, so that no other host or folder begins alike."""
    if faults := secrets(url):
        raise wrong(*faults)
    try:
        parts = urlsplit(url)
        host, ok = parts.hostname or "", parts.port != 0
    except ValueError:  # a port that is none, a bracket that is not closed
        host, ok = "", False
    scheme = parts.scheme == "https" or (parts.scheme == "http" and LOOPBACK.fullmatch(host)) if ok else False
    if not (
        host and scheme and url.endswith("/") and re.fullmatch(r"https?://[!-~]+", url) and not set("?#") & set(url)
    ):
        raise wrong(Fault((), show(url), t("config.put")))
    return url


Ed25519Key = Annotated[
    bytes,
    BeforeValidator(_key_bytes, json_schema_input_type=Annotated[str, Field(pattern="^[A-Za-z0-9_-]{43}$")]),
]
_Part = Annotated[float, Field(ge=0, le=1)]
Mask = Annotated[
    Polygon,
    BeforeValidator(
        _mask,
        json_schema_input_type=Annotated[list[tuple[_Part, _Part]], Field(min_length=3, max_length=MASK_CORNERS_MAX)],
    ),
]
File = Annotated[Path, AfterValidator(_from_config_folder)]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$")]
PutPrefix = Annotated[str, AfterValidator(_put_prefix)]
CameraSource = Annotated[str, AfterValidator(_camera_source)]
"""An address, or the whole path of a device or file."""


class Keys(BaseModel):
    """One group of keys: frozen, typed to the letter, closed."""

    # Each model is built when it is first used, most of them only as a part of another: 20 ms of a start.
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=False, defer_build=True
    )
