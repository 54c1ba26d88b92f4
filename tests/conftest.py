"""The order of the tests: the longest file first, so that the other worker has all the rest to do."""

import pytest


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: "pipeline" not in item.keywords)


@pytest.fixture
def one_worker(monkeypatch):
    """Starting processes takes longer than tiny corpora."""
    monkeypatch.setenv("KAJIYA_WORKERS", "1")


@pytest.fixture(scope="session")
def tuning_base(tmp_path_factory):
    """A model folder to tune, of a few thousand weights."""
    from tuning_world import write_base

    return write_base(tmp_path_factory.mktemp("models"))
