"""The real JGLUE files through a random model: every item can be asked, and chance is all it reaches."""

import json
import os
from pathlib import Path

import pytest
from tiny_model import write_model, write_tokens

from components.evaluate import EvaluateSettings, load_sets, run
from components.evaluate.tasks import build_task
from kajiya.stage import execute

DATA = Path(os.environ.get("KAJIYA_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
SETS = DATA / "jglue"
pytestmark = pytest.mark.skipif(not SETS.is_dir(), reason=f"no real data at {SETS}")

SETTINGS = EvaluateSettings(
    tasks=("jcommonsenseqa", "jnli", "jsquad"),
    shots={"jcommonsenseqa": (0, 3), "jnli": (0, 3), "jsquad": (0,)},
    limit={"jcommonsenseqa": 48, "jnli": 48, "jsquad": 4},
    english=False,
)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sets alone: a licence and a note on the source lie beside them."""
    folder = tmp_path_factory.mktemp("sets")
    for name in SETTINGS.tasks:
        (folder / name).symlink_to(SETS / name)
    return folder


def test_jglue_with_a_random_model_gives_chance_and_its_version(sets: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "base", max_position_embeddings=1024)
    write_tokens(tmp_path / "tokens", tmp_path / "base", documents=20)
    execute(run, SETTINGS, [tmp_path / "base", tmp_path / "tokens", sets], tmp_path / "evaluation" / "base")
    results = json.loads((tmp_path / "evaluation" / "base" / "results.json").read_text())
    assert {versions["version"] for versions in results["data_versions"].values()} == {"v1.3"}
    for task, chance in (("jcommonsenseqa", 1 / 5), ("jnli", 1 / 3)):
        for shots in ("0", "3"):
            scores = results["tasks"][task][shots]
            assert scores["n"] == 48
            balanced = scores.get("balanced_acc", scores["acc"])
            assert abs(balanced - chance) < 0.25  # about four standard errors
    assert results["tasks"]["jsquad"]["0"]["f1"] < 0.3


def test_jglue_prompts_of_every_item_hold_question_and_context(sets: Path) -> None:
    loaded = load_sets(SETTINGS, sets)
    counts = {"jcommonsenseqa": 1119, "jnli": 2434, "jsquad": 4442}
    for name, count in counts.items():
        task = build_task(name, 0, SETTINGS, loaded)
        assert len(task.eval_docs) == count
        for item, doc in zip(loaded[name]["valid"].items[:200], task.eval_docs, strict=False):
            prompt = task.doc_to_text(doc)
            assert doc["id"] == item.id
            parts = (item.sentence1, item.sentence2) if name == "jnli" else (item.question,)
            assert all(part in prompt for part in parts)
            assert "[SEP]" not in prompt
