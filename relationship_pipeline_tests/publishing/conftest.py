from __future__ import annotations

import pytest

from relationship_pipeline_tests.publishing.tenants import Tenant, tenant


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Tenant:
    """A published company that tests only read."""
    made = tenant(tmp_path_factory.mktemp("published"))
    made.publish()
    return made
