"""What every test has around it."""

from __future__ import annotations

import pytest

from firmware_bridge import exclusive


@pytest.fixture(autouse=True, scope="session")
def own_locks(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests in parallel processes have a stage of their own each, which is the same device by name."""
    exclusive.LOCKS = tmp_path_factory.mktemp("locks")
