"""The slow files first: with several workers, the one that begins such a file last is what the run waits for."""

from typing import Final

import pytest

SLOW: Final = (
    *("test_camera_worker", "test_systemd", "test_world", "test_real_broker", "test_real_evidence", "test_page"),
    *("test_page_evidence", "test_camera_reads_worker", "test_sim_camera_rtsp", "test_demo", "test_real_faults"),
    *("test_masked_camera", "test_sim_camera", "test_disk_faults", "test_cv2_source", "test_link_faults"),
    *(
        "test_export_films",
        "test_export_tamper",
        "test_first_light",
        "test_modbus",
        "test_power",
        "test_evidence_kills",
    ),
)
"""By what each took in a run."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: SLOW.index(item.path.stem) if item.path.stem in SLOW else len(SLOW))
