"""Several hundred films with wrong bytes, read as a camera's process reads them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from camera_clips import film

FILMS = {"film.mp4": "b-frames", "film.ts": "h264", "film.mkv": "hevc", "film.avi": "mjpeg", "film.mov": "hevc"}
SEEDS = 700
DEADLINE_S = 100


@pytest.mark.real
def test_wrong_bytes_in_a_film_cost_pictures_and_crash_and_hang_nothing(tmp_path: Path) -> None:
    for name, kind in FILMS.items():
        film(tmp_path / name, kind, 1)
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("mutated_films.py")), str(tmp_path), "0", str(SEEDS)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    rows = [line.split() for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"after {rows[-1:]}: {done.returncode} {done.stderr[-500:]}"
    assert len(rows) == SEEDS
    good, bad, files = (sum(int(row[column]) for row in rows) for column in (2, 3, 4))
    assert good > bad > 0
    assert files > SEEDS
    refused = sum(row[2:] == ["0", "0", "0"] for row in rows)
    assert 0 < refused < SEEDS / 2
