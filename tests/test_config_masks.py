"""Masks of cameras in the config: what is one, what is none, and what is noticed of those that hide all."""

from pathlib import Path

import pytest
from config_file import SMALL, english, file, loaded, mistakes

from agent.cameras import CameraProcess
from agent.config import notices

__all__ = ["english", "file"]  # fixtures

MASK = "a polygon of 3 to 64 corners, each [x, y] in parts of the picture's width and height, 0 to 1"

FLAT = f"masks[0]: found corners on one line, which hide nothing; allowed: {MASK}"


def camera(masks: str) -> str:
    return f"{SMALL}cameras:\n  - id: front\n    source: rtsp://cam\n    masks: {masks}\n"


def told(masks: str, file: Path) -> list[str]:
    return [line.removeprefix("box.yaml:11: cameras[0].") for line in mistakes(file, camera(masks))]


def test_masks_are_polygons_in_parts_of_the_picture(file: Path) -> None:
    found = loaded(file, camera("[[[0, 0], [0.5, 0], [0.5, 1]], [[0.2, 0.2], [1, 0.2], [1, 1], [0.2, 0.2]]]"))
    assert [len(mask) for mask in found.cameras[0].masks] == [3, 3]
    assert {*found.cameras[0].masks[0]} == {(0.0, 0.0), (0.5, 0.0), (0.5, 1.0)}
    assert loaded(file, camera("[]")).cameras[0].masks == ()


@pytest.mark.parametrize(
    ("masks", "said"),
    [
        ("5", ["masks: found 5; allowed: a list of at most 16"]),
        ("[5]", [f"masks[0]: found 5; allowed: {MASK}"]),
        ("[[0, 0]]", [f"masks[0]: found a list of 2; allowed: {MASK}"]),
        ("[[[0, 0], [1, 1]]]", [f"masks[0]: found a list of 2; allowed: {MASK}"]),
        ("[[[0, 0], [1920, 0], [1, -0.1]]]", [
            f"masks[0][1]: found [1920, 0]; allowed: {MASK}", f"masks[0][2]: found [1, -0.1]; allowed: {MASK}",
        ]),
        ("[[[0, 0], [1, 0, 1], [1, yes], 7, [.nan, 0]]]", [
            f"masks[0][1]: found [1, 0, 1]; allowed: {MASK}", f"masks[0][2]: found [1, 'yes']; allowed: {MASK}",
            f"masks[0][3]: found 7; allowed: {MASK}", f"masks[0][4]: found ['.nan', 0]; allowed: {MASK}",
        ]),
        ("[[[0, 0], [1, 1], [1, 0], [0, 1]]]", [
            "masks[0]: found edges that cross or touch: those from corner 1 and from corner 3; allowed: corners in "
            "their order round the polygon; make two polygons of one that crosses itself",
        ]),
        ("[[[0, 0], [0.5, 0.5], [1, 1]]]", [FLAT]),
        ("[[[0, 0], [0, 0], [0, 0]]]", [FLAT]),
        (str([[[0, 0], [1, 0], [1, 1]]] * 17), ["masks: found a list of 17; allowed: a list of at most 16"]),
        (str([[[0, 0]] * 65]), [f"masks[0]: found a list of 65; allowed: {MASK}"]),
    ],
)  # fmt: skip
def test_a_mask_that_is_none_is_told_with_its_place(file: Path, masks: str, said: list[str]) -> None:
    assert told(masks, file) == said


def test_masks_that_hide_everything_are_noticed(file: Path) -> None:
    whole = "[[[0, 0], [1, 0], [1, 1], [0, 1]]]"
    noticed = [line for line in notices(loaded(file, camera(whole))) if "masks" in line]
    assert noticed == [
        "cameras: the masks of front hide the whole picture: its evidence is black, and it will be reported as dark"
    ]
    assert not [line for line in notices(loaded(file, camera("[[[0, 0], [1, 0], [1, 1]]]"))) if "masks" in line]


def test_the_camera_process_is_told_of_masks_where_there_are_some(file: Path, tmp_path: Path) -> None:
    [masked] = loaded(file, camera("[[[0, 0], [0.5, 0], [0.5, 1]]]")).cameras
    [clear] = loaded(file, camera("[]")).cameras
    assert CameraProcess(masked, tmp_path, (), lambda _: None)._who()["masks"] == masked.masks
    assert "masks" not in CameraProcess(clear, tmp_path, (), lambda _: None)._who()
