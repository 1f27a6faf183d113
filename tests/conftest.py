"""Order of the tests. The slowest files start first, so that no worker gets one at the end."""

import pytest

SLOW = (
    "test_pipeline",
    "test_experiments_table",
    "test_processes",
    "test_same_twice",
    "test_resume",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.stem not in SLOW)  # a stable sort
