"""Every recipe at toy size: what shrinking keeps, and that its pipeline runs to the end."""

import importlib
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.evaluate import EvaluateSettings
from flows.graph import Graph, Stage, open_repo, read_graph
from kajiya.dvc_lock import file_hash, folder_hash
from kajiya.errors import KajiyaError
from kajiya.lineage import collect_lineages
from kajiya.lm.model import read_config
from kajiya.lm.recipe_plan import plan_recipe
from kajiya.lm.shape import LlamaShape
from kajiya.lm.shrink import shrink, shrink_shape
from kajiya.lm.shrunk_project import make_inputs, make_project, shrunk_name
from kajiya.lm.small_base import make_small_base
from kajiya.lm.tokenizer import load_tokenizer
from kajiya.recipe_file import Recipe
from kajiya.recipe_loading import load_recipe
from kajiya.settings import load_settings
from kajiya.settings_docs import settings_type
from kajiya.stage import execute, parse_path

ROOT = Path(__file__).parent.parent
NAMES = sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml") if path.stem != "smoke")
SCALE = 0.1
# Two ranks cost twenty seconds to import DeepSpeed; the engine of one rank is tried on all others.
TWO_RANKS = {"elyza-70b"}
CORPUS = ("sample", "crawl", "clean", "dedupe", "decontaminate", "validate")


def read(name: str) -> Recipe:
    return load_recipe(ROOT / "recipes" / f"{name}.yaml")


def shrunk(name: str) -> dict[str, Any]:
    return shrink(name, "0" * 64, read(name), read("smoke").sources)


def test_shape_of_a_shrunk_model_keeps_its_ratios() -> None:
    large = LlamaShape(size="70B", context=4096, rope_theta=1e6)
    small = shrink_shape(large)

    assert small.heads // small.key_value_heads == 8
    assert small.feed_forward_size / small.hidden_size == pytest.approx(28672 / 8192, rel=0.1)
    assert (small.context, small.rope_theta, small.layers) == (256, 1e6, 4)


@pytest.mark.parametrize("name", NAMES)
def test_shrunk_recipe_keeps_kinds_and_leaves_a_small_model(name: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(shrunk(name), allow_unicode=True))
    small, large = load_recipe(path), read(name)

    assert small.parents() == large.parents()
    for key in ("zero_stage", "activation_checkpointing"):
        assert small.pretrain.get(key) == large.pretrain.get(key)
    assert small.tokenizer.get("kind") == large.tokenizer.get("kind")
    assert sum(small.tokenize["weights"].values()) == pytest.approx(1)
    assert plan_recipe(small).parameters < 2_000_000
    assert small.base_folder == large.base_folder


def test_sources_of_one_kind_are_summed_on_the_one_that_stands_in() -> None:
    # youri-7b: OSCAR 0.2, CC-100 0.15 and C4 0.2 are Japanese web, the Pile is English.
    assert shrunk("youri-7b")["tokenize"]["weights"] == {
        "wikipedia": 0.05,
        "diet": 0,
        "files": 0.4,
        "c4": 0.55,
    }


@pytest.mark.parametrize("way", ["absolute", "dots", "link"])
def test_real_base_outlives_the_making_of_a_shrunk_one(way: str, tmp_path: Path) -> None:
    project, real = tmp_path / "shrunk" / "r", tmp_path / "real"
    (project / "inputs").mkdir(parents=True)
    real.mkdir()
    (real / "model.safetensors").write_bytes(b"weights")
    (project / "inputs" / "link").symlink_to(real)
    folder = {"absolute": str(real), "dots": "../../real", "link": "inputs/link"}[way]
    recipe = read("elyza-7b")
    base = recipe.base.model_copy(update={"folder": folder})
    outside = recipe.model_copy(update={"about": recipe.about.model_copy(update={"base": base})})

    with pytest.raises(KajiyaError, match=r"is not inside .*Nothing was touched"):
        make_inputs(project, outside, {"variants": {}})

    small = shrink("r", "0" * 64, outside, read("smoke").sources)
    assert small["about"]["base"]["folder"] == ("inputs/link" if way == "link" else "inputs/real")
    assert (real / "model.safetensors").read_bytes() == b"weights"


def test_trial_judges_nothing_and_says_so() -> None:
    assert "ja_mt_bench" in read("elyza-7b").about.bring["inputs/evaluation"]
    small = shrunk("elyza-7b")
    assert "judged" not in small
    assert "endpoint" in small["shrunk"]["instead"]["judged"]


def test_trial_asks_what_the_sample_has_sets_of_and_names_the_rest() -> None:
    evaluate = {
        "tasks": ["jnli", "mgsm", "arc"],
        "shots": {"jnli": [3], "mgsm": [5]},
        "prompts": "harness",
        "skip": {"arc": "no licence"},
    }
    asking = read("youri-7b").model_copy(update={"evaluate": evaluate})
    small = shrink("r", "0" * 64, asking, read("smoke").sources)
    assert EvaluateSettings.model_validate(small["evaluate"]).tasks == ("jnli",)
    assert not {"prompts", "skip"} & small["evaluate"].keys()
    assert small["shrunk"]["instead"]["evaluate.tasks"].startswith("mgsm, arc left out")


def test_weights_in_4_bits_are_held_as_stored_where_bitsandbytes_is_absent_and_that_is_said() -> None:
    recipe, sample = read("elyza-70b"), read("smoke").sources
    able, unable = (shrink("r", "0" * 64, recipe, sample, has_nf4) for has_nf4 in (True, False))

    assert able["sft"]["instruct"]["lora"]["base"] == "nf4"
    assert able["shrunk"]["instead"].keys() == {"judged"}
    assert "base" not in unable["sft"]["instruct"]["lora"]
    assert unable["shrunk"]["instead"].keys() == {"sft.instruct.lora.base", "judged"}


def test_recipe_that_stops_at_forbidden_records_gets_such_as_have_none() -> None:
    assert shrunk("elyza-70b")["variants"]["instruct"]["instructions"].startswith("inputs/")
    assert shrunk("elyza-7b")["variants"]["instruct"]["instructions"] == "data/sample/instructions"
    assert shrunk("youri-7b")["variants"]["chat"]["instructions"] == "data/sample/chat"


def test_small_base_has_the_keys_and_the_tokenizer_of_a_llama_2(tmp_path: Path) -> None:
    shape = LlamaShape(hidden_size=64, layers=2, heads=4, kv_heads=2, context=128, rope_theta=1e6)
    for folder in ("one", "two"):
        make_small_base(shape, 700, tmp_path / folder)

    one, two = ({path.name: path.read_bytes() for path in (tmp_path / n).iterdir()} for n in ("one", "two"))
    assert one == two
    config = read_config(tmp_path / "one")
    assert (config.num_key_value_heads, config.max_position_embeddings, config.vocab_size) == (2, 128, 700)
    assert config.rope_parameters["rope_theta"] == 1e6
    tokenizer = load_tokenizer(tmp_path / "one")
    encoding = tokenizer.encode("The river 鍛 12")
    assert encoding.tokens[:2] == ["<s>", "▁The"]
    assert "<0xE9>" in encoding.tokens
    assert tokenizer.decode(encoding.ids) == "The river 鍛 12"


class Project:
    """A shrunk project whose stages run in this process."""

    def __init__(self, root: Path, name: str, patch: pytest.MonkeyPatch) -> None:
        self.name = shrunk_name(name)
        self.folder = make_project(root, name, root / "cache")
        patch.chdir(self.folder)  # DVC names stages as seen from there
        patch.setenv("KAJIYA_WORKERS", "1")
        patch.setenv("PYTHONPATH", str(ROOT))  # for the ranks: no code was copied
        with open_repo(self.folder) as repo:
            self.graph: Graph = read_graph(repo)
            self.stages = {stage.addressing: stage for stage in repo.index.stages}

    def run(self, name: str) -> None:
        """What `python -m components.<stage> ...` does, by the command in dvc.yaml."""
        words = self.stages[name].cmd.split()
        component, paths = words[2], words[3:]
        params = Path("params.yaml")
        if paths[0] == "--params":
            params, paths = Path(paths[1]), paths[2:]
        stage: Stage = self.graph[name]
        file, section = next(iter(stage.settings), (params, (component.partition(".")[2],)))
        config = load_settings(settings_type(section[0]), file, list(section))
        *inputs, out = [parse_path(path) for path in paths]
        execute(importlib.import_module(component).run, config, inputs, out)

    def lock(self) -> None:
        """dvc.lock as DVC would have written it, but for the hashes of code."""
        stages = {
            name: {
                "cmd": stage.cmd,
                "deps": [entry for dep in stage.deps if (entry := _entry(str(dep)))],
                "outs": [entry for out in stage.outs if (entry := _entry(str(out)))],
            }
            for name, stage in self.stages.items()
            if name.partition("@")[0] != "register"
        }
        Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))


def _entry(path: str) -> dict[str, Any] | None:
    found = Path(path)
    if not path.startswith(("data", "models", "inputs")) or not found.exists():
        return None
    return {"path": path, "hash": "md5", "md5": folder_hash(found) if found.is_dir() else file_hash(found)}


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository without code, for this process has it, and the sample's corpus, made once."""
    root = tmp_path_factory.mktemp("workshop")
    for name in ("dvc.yaml", "policy.yaml", "exclusions.yaml"):
        shutil.copy(ROOT / name, root)
    shutil.copytree(ROOT / "recipes", root / "recipes")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["sample"]["scale"] = SCALE
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.MonkeyPatch.context() as patch:
        project = Project(root, NAMES[0], patch)
        for name in project.graph:
            if name.partition("@")[0] in CORPUS:
                project.run(name)
    shutil.move(project.folder / "data", root / "data")
    return root


@pytest.mark.parametrize("name", NAMES)
def test_shrunk_recipe_runs_to_the_end(name: str, workshop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(workshop, name, monkeypatch)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if name not in TWO_RANKS:
        monkeypatch.setenv("KAJIYA_RANKS", "1")
    Path("data").symlink_to(workshop / "data")

    for stage in project.graph:
        if stage.partition("@")[0] not in (*CORPUS, "register"):
            project.run(stage)

    project.lock()
    lineages = collect_lineages(Path("models") / project.name, Path.cwd())
    assert {key: one.parent and one.parent.variant for key, one in lineages.items()} == read(name).parents()
    assert {one.shrunk.recipe for one in lineages.values()} == {name}
