"""Through a round of injected failures every source gives exactly its documents; see hostile.py for the long run."""

import pytest
from hostile import calm_outputs, compare, write_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("hostile")
    (root / "calm").mkdir()
    sources = write_world(root / "world")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KAJIYA_WORKERS", "1")
        yield root / "world", sources, calm_outputs(root / "world", root, sources)


def test_sources_on_a_hostile_server_give_exactly_their_documents(world, monkeypatch):
    monkeypatch.setenv("KAJIYA_HTTP_WAIT_SECONDS", "0")
    counts, _ = compare(11, 0.6, *world)
    assert counts.total() - counts["requests"] > 40
