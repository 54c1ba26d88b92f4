"""Through hundreds of injected failures every source gives exactly its documents; see hostile.py."""

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


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_sources_on_a_hostile_server_give_exactly_their_documents(world, monkeypatch, seed):
    monkeypatch.setenv("KAJIYA_HTTP_WAIT_SECONDS", "0")
    counts, _ = compare(seed, 0.6, *world)
    assert counts.total() - counts["requests"] > 40
