"""What a camera's process decides, in virtual time."""

from camera_server import JPEG

from drivers.camera_look import Look
from drivers.camera_state import DRIFT_PPM, GAP_S, USELESS_S, CameraState
from drivers.packet_ring import Clip
from drivers.packets import Packet, Stream

PPS = b"\0\0\1\x68\xce\x3c\x80"
SPS_640 = b"\0\0\1\x67\x42\xc0\x1e\xda\x02\x80\xf6\x40"  # baseline, 640 x 480
SPS_320 = b"\0\0\1\x67\x42\xc0\x1e\xda\x05\x07\xe4"  # 320 x 240
IDR, SLICE = b"\0\0\1\x65\x88\x84", b"\0\0\1\x41\x9a\x02"
WIDE = JPEG.replace(bytes.fromhex("ffc0000b0800080008"), bytes.fromhex("ffc0000b0800080010"))
A_LOOK, DARK = Look(120.0, 50.0, "a"), Look(3.0, 1.0, "b")


def state(codec: str = "mjpeg", *, bytes_max: int = 100_000) -> CameraState:
    camera = CameraState(10.0, bytes_max, 0.0)
    camera.opened(Stream("mjpeg") if codec == "mjpeg" else Stream("h264", 0, 0, SPS_640 + PPS), 0.0)
    return camera


def see(camera: CameraState, at_s: float, data: bytes = JPEG, *, key: bool = True, pts_s: float | None = None) -> None:
    shown_s = at_s if pts_s is None else pts_s
    camera.packet(Packet(data, key, shown_s, shown_s, at_s))


def see_until(camera: CameraState, first: int, last: int) -> None:
    """A JPEG every 0.5 s."""
    for tick in range(2 * first, 2 * last + 1):
        see(camera, tick / 2)


def take_all(camera: CameraState) -> list[tuple[Clip, bool]]:
    taken = []
    while wanted := camera.to_store:
        taken.append(wanted)
        camera.stored()
    return taken


def spans(camera: CameraState) -> list[tuple[float, float]]:
    return [(clip.from_s, clip.to_s) for clip, _ in take_all(camera)]


def quality(camera: CameraState, now_s: float) -> str | None:
    told = camera.quality(now_s)
    return told and told[0]


def test_what_was_before_comes_out_at_once_and_what_is_after_when_it_is_there() -> None:
    camera = state()
    see_until(camera, 1, 5)
    camera.record(3.0, 6.5)
    assert spans(camera) == [(3.0, 3.5), (4.0, 4.5)]
    see_until(camera, 6, 9)
    assert spans(camera) == [(5.0, 5.0), (6.0, 6.5)]


def test_what_is_of_no_use_is_counted_and_left_out_and_named_when_nothing_else_comes() -> None:
    camera = state()
    see(camera, 1.0)
    for tick in range(2, 14):
        see(camera, float(tick), b"<html>")
    assert (camera.packets, camera.bad, camera.seen_s) == (1, 12, 1.0)
    assert quality(camera, 1.0 + USELESS_S) == "good"
    assert camera.quality(1.1 + USELESS_S) == (
        "offline",
        "it sends no whole picture; the last: no JPEG: begins with 3c 68, not with ff d8;"
        " restart the camera, and look at its settings",
    )
    see(camera, 14.0)
    assert quality(camera, 14.0) == "good"


def test_a_packet_before_any_stream_is_bad_and_hurts_nobody() -> None:
    camera = CameraState(10.0, 1000, 0.0)
    see(camera, 1.0)
    assert (camera.packets, camera.bad) == (0, 1)


def test_a_camera_that_brings_nothing_is_offline_and_nothing_is_said_before_anything_is_known() -> None:
    camera = state()
    assert camera.quality(1.0) is None
    assert camera.quality(USELESS_S + 1) == (
        "offline",
        "no picture comes; restart the camera, and look at its settings",
    )


def test_a_camera_that_is_away_is_offline_with_the_reason_until_the_first_good_picture() -> None:
    camera = state()
    see(camera, 1.0)
    camera.lost("cam: nobody listens there")
    assert camera.quality(2.0) == ("offline", "cam: nobody listens there")
    camera.opened(Stream("mjpeg"), 3.0)
    assert camera.quality(3.0) is None
    see(camera, 3.5)
    assert quality(camera, 3.5) == "good"


def test_pictures_of_two_sizes_are_in_two_files() -> None:
    camera = state()
    camera.record(0.0, 60.0)
    see(camera, 1.0)
    see(camera, 1.2)
    see(camera, 1.4, WIDE)
    (first, _), *rest = take_all(camera)
    assert (first.stream, len(first.pictures), rest) == (Stream("mjpeg", 8, 8), 2, [])
    camera.lost("")
    ((second, _),) = take_all(camera)
    assert (second.stream, len(second.pictures)) == (Stream("mjpeg", 16, 8), 1)
    assert camera.beat(2.0, 0)["width"] == 16


def test_h264_begins_a_file_with_its_new_parameters() -> None:
    camera = state("h264")
    camera.record(0.0, 60.0)
    see(camera, 1.0, SPS_640 + PPS + IDR)
    see(camera, 1.1, SLICE, key=False)
    see(camera, 1.2, SPS_320 + PPS + IDR)
    see(camera, 1.3, SLICE, key=False)
    camera.lost("")
    clips = [clip for clip, _ in take_all(camera)]
    assert [(clip.stream.width, clip.stream.height, len(clip.pictures)) for clip in clips] == [
        (640, 480, 2),
        (320, 240, 2),
    ]
    assert clips[1].stream.parameter_sets == b"\0" + SPS_320 + b"\0" + PPS.rstrip(b"\0")


def test_the_last_pictures_before_a_loss_are_stored() -> None:
    camera = state()
    camera.record(0.0, 60.0)
    see(camera, 1.0)
    see(camera, 1.5)
    assert spans(camera) == []
    camera.lost("gone")
    assert spans(camera) == [(1.0, 1.5)]


def test_a_picture_alone_goes_before_clips_and_one_for_which_there_is_none_yet_is_the_next() -> None:
    camera = state()
    camera.picture(0.5)
    camera.record(0.0, 60.0)
    assert camera.to_store is None
    see_until(camera, 1, 3)
    camera.picture(2.4)
    found = [(clip.from_s, clip.to_s, alone) for clip, alone in take_all(camera)]
    assert found == [(1.0, 1.0, True), (2.0, 2.0, True), (1.0, 1.5, False), (2.0, 2.5, False)]


def test_what_the_disk_does_not_take_stays_and_is_told_until_it_does() -> None:
    camera = state()
    see_until(camera, 1, 5)
    camera.record(1.0, 60.0)
    wanted = camera.to_store
    camera.not_stored("no room")
    assert camera.to_store == wanted
    assert camera.quality(5.0) == ("storage", "no room")
    assert camera.through_s(5.0) is not None
    assert 0.9 < (camera.through_s(5.0) or 0) < 1.0
    assert spans(camera)[0] == (1.0, 1.5)
    assert quality(camera, 5.0) == "good"


def test_while_the_disk_takes_nothing_no_more_is_kept_than_the_ring_may_hold_and_what_is_lost_is_told() -> None:
    camera = state(bytes_max=10 * len(JPEG))
    camera.record(0.0, 1000.0)
    for second in range(1, 101):
        see(camera, second)
        if camera.to_store:
            camera.not_stored("no room")
    kept = len(camera._clips)
    assert kept == 10
    assert camera.quality(100.0) == ("storage", f"no room; {99 - kept} clips are lost")


def test_through_says_how_far_all_is_stored_and_then_no_more() -> None:
    camera = state()
    assert camera.through_s(1.0) is None
    see_until(camera, 1, 5)
    camera.record(2.0, 4.0)
    assert (camera.through_s(5.0) or 9) < 2.0
    take_all(camera)
    assert (camera.through_s(5.0) or 0) >= 4.0
    assert camera.through_s(5.0) is None
    camera.record(1.0, 1.5)
    assert (camera.through_s(5.0) or 9) < 1.0  # before it is stored
    take_all(camera)
    assert (camera.through_s(5.0) or 0) >= 1.5


def test_of_a_camera_that_is_away_all_that_ever_came_is_stored_up_to_now() -> None:
    camera = state()
    see_until(camera, 1, 2)
    camera.record(1.0, 30.0)
    camera.lost("gone")
    take_all(camera)
    assert camera.through_s(20.0) == 20.0
    assert camera.through_s(30.5) == 30.5
    assert camera.through_s(31.0) is None


def test_times_that_jump_are_a_gap_for_a_while_and_lose_nothing() -> None:
    camera = state()
    camera.record(0.0, 1000.0)
    see_until(camera, 1, 5)
    see(camera, 5.5, pts_s=-3600.0)
    assert camera.quality(5.5) == ("gap", "the camera's times went back by 3605.0 s")
    see(camera, 6.0, pts_s=7200.0)
    assert quality(camera, 6.0) == "gap"
    see(camera, 7.0, pts_s=7201.0)
    assert quality(camera, 6.1 + GAP_S) == "good"
    camera.lost("")
    assert sum(len(clip.pictures) for clip, _ in take_all(camera)) == camera.packets == 12


def test_pictures_without_an_end_of_their_dependence_are_a_gap_and_take_no_memory() -> None:
    camera = state("h264", bytes_max=1000)
    see(camera, 1.0, SPS_640 + PPS + IDR)
    for tick in range(200):
        see(camera, 1.0 + tick / 10, SLICE + b"\1" * 100, key=False)
        assert camera.beat(1.0, 0)["ring_bytes"] <= 1000
        if quality(camera, 1.0 + tick / 10) == "gap":
            break
    assert camera.quality(5.0) == ("gap", "pictures from one key picture to the next had more than 1000 bytes")


def test_a_clock_that_runs_off_is_drift_until_it_runs_half_as_well() -> None:
    camera = state()
    for second in range(600):
        see(camera, second, pts_s=second * (1 + 2 * DRIFT_PPM / 1e6))
        camera.beat(second, 0)
    told = camera.quality(600.0)
    assert told is not None
    assert told[0] == "drift"
    assert "+1000 ppm off ours" in told[1]


def test_looks_are_at_key_pictures_that_were_not_looked_at() -> None:
    camera = state()
    assert camera.to_look_at() is None
    see(camera, 1.0)
    assert camera.to_look_at() == (Stream("mjpeg", 8, 8), JPEG)
    assert camera.to_look_at() is None
    see(camera, 2.0)
    assert camera.to_look_at() is not None
    see(camera, 3.0)
    camera.lost("gone")
    assert camera.to_look_at() is None


def test_three_looks_say_that_a_camera_is_dark_or_frozen_and_those_before_a_loss_count_for_nothing() -> None:
    camera = state()
    see(camera, 1.0)
    for look, said in ((DARK, "good"), (DARK, "good"), (DARK, "dark"), (A_LOOK, "good"), (A_LOOK, "good")):
        camera.looked(look)
        assert quality(camera, 1.0) == said
    camera.lost("gone")
    camera.looked(A_LOOK)
    camera.opened(Stream("mjpeg"), 2.0)
    see(camera, 2.0)
    camera.looked(A_LOOK)
    camera.looked(A_LOOK)
    assert quality(camera, 2.0) == "good"  # the one that came after the loss was of a picture before it
    camera.looked(A_LOOK)
    assert quality(camera, 2.0) == "frozen"


def test_the_worst_is_told() -> None:
    camera = state()
    see(camera, 1.0)
    see(camera, 1.5, pts_s=99.0)
    assert quality(camera, 1.5) == "gap"
    for _ in range(3):
        camera.looked(DARK)
    assert quality(camera, 1.5) == "dark"
    camera.not_stored("no room")
    assert quality(camera, 1.5) == "storage"
    camera.lost("gone")
    assert quality(camera, 1.5) == "offline"


def test_a_beat_counts_what_came() -> None:
    camera = state()
    see_until(camera, 1, 9)
    see(camera, 9.1, b"bad")
    assert camera.beat(9.1, 7) == {
        "seen_s": 9.0,
        "packets": 17,
        "bad": 1,
        "bytes": 17 * len(JPEG),
        "fps": 2.0,
        "codec": "mjpeg",
        "width": 8,
        "height": 8,
        "ring_s": 8.0,
        "ring_bytes": 17 * len(JPEG),
        "rss_bytes": 7,
        "offset_s": 0.0,
    }
