"""What a config names that is not there, and what is allowed in it and still worth a word."""

from importlib.util import find_spec
from pathlib import Path

from agent.config_errors import ConfigError, KeyPath, dotted
from agent.config_model import Config
from agent.polygons import hide_all
from agent.text import t

EXTRAS = {"camera": ("zxingcpp",), "ocr": ("rapidocr", "onnxruntime")}
"""Modules of the extras that a camera needs to read; they are looked for, and never imported here."""

CREDENTIALS = Path("/run/credentials")


def missing_files(config: Config) -> list[ConfigError]:
    """Files that links and cameras name and that are not there. Apart from `load`: they may be on their way.

    What systemd brings at the start, below /run/credentials, nobody can see before or as another user: not looked for.
    """
    missing = []
    named: list[tuple[KeyPath, Path | None]] = [
        (("links", n, key), getattr(link, key))
        for n, link in enumerate(config.links)
        for key in ("ca", "cert", "key", "username_file", "password_file")
    ]
    named.append((("key_file",), config.key_file))
    named += [(("cameras", n, "credentials_file"), each.credentials_file) for n, each in enumerate(config.cameras)]
    named += [(("paths", n, name), file) for n, entry in enumerate(config.paths) for name, file in entry.files.items()]
    for at, path in named:
        try:
            if path is None or path.is_relative_to(CREDENTIALS) or path.is_file():
                continue
            found = t("config.no_file", path=path)
        except OSError as error:
            found = f"{path}: {error.strerror}"
        missing.append(ConfigError(config._file, config._lines.get(at, 0), dotted(at), found, t("config.a_file")))
    return missing


def missing_extras(config: Config) -> list[str]:
    """What inputs want to read, and what is not installed for it."""
    wanted = {
        "camera": [entry.id for entry in config.inputs if "codes" in entry.read],
        "ocr": [entry.id for entry in config.inputs if {"mrz", "plate"} & {*entry.read}],
    }
    return [
        t("config.notice.extra", inputs=", ".join(inputs), module=module, extra=extra)
        for extra, inputs in wanted.items()
        for module in EXTRAS[extra]
        if inputs and find_spec(module) is None
    ]


def notices(config: Config) -> list[str]:
    """What is allowed, and still worth a word to who reads `callbox check`."""
    said = [t("config.notice.plain", n=n, url=link.url) for n, link in enumerate(config.links) if not link.tls]
    if config.delivery == "puback":
        said.append(t("config.notice.puback"))
    elif config.central_key is None:
        said.append(t("config.notice.central_key"))
    if not config.operators:
        said.append(t("config.notice.operators"))
    if config.neighbours and not any(output.role == "neighbour" for output in config.outputs):
        said.append(t("config.notice.neighbours"))
    if config.cameras and not config.evidence.recipients:
        said.append(t("config.notice.recipients"))
    said += missing_extras(config)
    said += [
        t("config.notice.source", n=n, path=camera.path)
        for n, camera in enumerate(config.cameras)
        if camera.path and not camera.path.is_relative_to("/dev") and not camera.path.exists()
    ]
    said += [t("config.notice.masks", camera=camera.id) for camera in config.cameras if hide_all(camera.masks)]
    return said
