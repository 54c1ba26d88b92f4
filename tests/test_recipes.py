"""The recipes: settings that their stages take, sizes as published, and how they get into params.yaml."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM
from typer.testing import CliRunner

from kajiya.cli import app
from kajiya.lm.recipe_plan import estimated_epochs, plan_recipe, short_number, tuning_bytes
from kajiya.lm.shape import LlamaShape, updated_parameter_count
from kajiya.recipe_file import STAGES, setting_at
from kajiya.recipe_loading import load_recipe
from kajiya.settings import load_settings
from kajiya.settings_docs import settings_type
from kajiya.yaml_edit import drop_entry, set_entry, set_list

ROOT = Path(__file__).parent.parent
NAMES = sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))
KEYED = ("sft", "dpo", "quantize")

# What the makers say in numbers and names; where a recipe calls a value published, it must be this one.
PUBLISHED: dict[str, dict[str, Any]] = {
    **{
        f"ridge-i-{size}": {
            "tokenizer.vocabulary_size": 50_000,
            "tokenizer.sample_characters": 300_000_000,
            "pretrain.model.size": size.upper(),
            "pretrain.ranks": 4,
        }
        for size in ("1.3b", "2.7b")
    },
    "youri-7b": {
        "tokenize.tokens": 40e9,
        "about.base.hub": "meta-llama/Llama-2-7b-hf",
        "tokenizer.kind": "take",
    },
    "elyza-7b": {"tokenize.tokens": 18e9, "about.base.hub": "meta-llama/Llama-2-7b-chat-hf"},
    "elyza-7b-fast": {
        "tokenize.tokens": 18e9,
        "about.base.hub": "meta-llama/Llama-2-7b-chat-hf",
        "tokenizer.kind": "extend",
        "tokenizer.vocabulary_size": 45_043,
    },
    "elyza-7b-bilingual": {"about.base.hub": "meta-llama/Llama-2-7b-chat-hf"},
    "elyza-13b": {"tokenize.tokens": 18e9, "about.base.hub": "meta-llama/Llama-2-13b-chat-hf"},
    "elyza-codellama-7b": {"tokenize.tokens": 18e9, "about.base.hub": "codellama/CodeLlama-7b-Instruct-hf"},
    "elyza-70b": {
        "tokenize.tokens": 100e9,
        "about.base.hub": "meta-llama/Llama-2-70b-hf",
        "sft.instruct.on_forbidden": "stop",
    },
}


def kajiya(*words: str) -> str:
    result = CliRunner().invoke(app, list(words))
    return f"{result.exit_code} {' '.join(re.sub(chr(27) + r'.*?m', '', result.output).split())}"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_recipe_holds_settings_that_its_stages_take(name: str) -> None:
    path = ROOT / "recipes" / f"{name}.yaml"
    recipe, content = load_recipe(path), yaml.safe_load(path.read_text())

    for stage in STAGES:
        for key in content.get(stage, {}) if stage in KEYED else [None]:
            if stage in content:
                load_settings(settings_type(stage), path, [stage, *([key] if key else [])])
    for source in recipe.sources:
        for stage in ("crawl", "clean"):
            load_settings(settings_type(stage), path, ["sources", source, stage])


@pytest.mark.parametrize("name", [name for name in NAMES if name != "smoke"])
def test_recipe_agrees_with_what_its_makers_published(name: str) -> None:
    recipe, facts = load_recipe(ROOT / "recipes" / f"{name}.yaml"), PUBLISHED[name]

    assert recipe.published
    for path, value in facts.items():
        assert setting_at(recipe, path) == value, path
    told = {path for path in recipe.published if path not in facts and _is_number(setting_at(recipe, path))}
    assert told == set()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "smoke"])
def test_steps_of_a_recipe_come_to_its_tokens(name: str) -> None:
    recipe = load_recipe(ROOT / "recipes" / f"{name}.yaml")

    plan, tokens = plan_recipe(recipe), recipe.tokenize["tokens"]
    assert plan.tokens == pytest.approx(tokens, rel=0.001)
    assert plan.tokens <= tokens + plan.tokens_per_step


@pytest.mark.parametrize("name", [name for name in NAMES if name != "smoke"])
def test_mixture_of_a_recipe_reads_no_source_more_often_than_the_stages_allow(name: str) -> None:
    recipe = load_recipe(ROOT / "recipes" / f"{name}.yaml")
    bound = settings_type("tokenize")(**recipe.tokenize).max_epochs

    assert {source: one.available_tokens for source, one in recipe.sources.items()}.keys() == set(
        epochs := estimated_epochs(recipe)
    )
    assert {source: times for source, times in epochs.items() if times > bound} == {}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "smoke"])
def test_tuning_of_a_recipe_fits_the_device_that_it_names(name: str) -> None:
    recipe = load_recipe(ROOT / "recipes" / f"{name}.yaml")
    sizes = tuning_bytes(recipe, plan_recipe(recipe))

    assert sizes.keys() == recipe.sft.keys() | recipe.dpo.keys()
    # A fifth is left for the activations.
    room = 0.8e9 * recipe.about.device_gigabytes
    assert {variant: size for variant, size in sizes.items() if size > room} == {}


def test_bytes_of_tuning_are_those_of_weights_gradients_and_optimizer() -> None:
    recipe = load_recipe(ROOT / "recipes" / "elyza-70b.yaml")
    plan = plan_recipe(recipe)

    def size(lora: dict[str, Any] | None) -> float:
        changed = recipe.model_copy(update={"sft": {"instruct": {"lora": lora}}})
        return tuning_bytes(changed, plan)["instruct"] / 1e9

    assert size(None) == pytest.approx(1104, rel=0.001)
    assert size({"rank": 1}) == pytest.approx(138 + 0.2, rel=0.005)
    assert size({"base": "nf4", "rank": 64}) == pytest.approx(37.9 + 13.3, rel=0.005)


def test_updated_parameters_are_those_that_peft_makes() -> None:
    shape = LlamaShape(hidden_size=32, layers=2, heads=4, kv_heads=2, ffn_size=96, context=16)
    config = LlamaConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=96,
        vocab_size=50,
    )  # fmt: skip
    model = get_peft_model(LlamaForCausalLM(config), LoraConfig(r=3, target_modules="all-linear"))

    trained = sum(one.numel() for one in model.parameters() if one.requires_grad)
    assert updated_parameter_count(shape, 3) == trained


@pytest.mark.parametrize("name", [name for name in NAMES if name != "smoke"])
def test_mixture_of_a_recipe_names_every_source_and_sums_to_one(name: str) -> None:
    recipe = load_recipe(ROOT / "recipes" / f"{name}.yaml")

    assert recipe.tokenize["weights"].keys() == recipe.sources.keys()
    assert sum(recipe.tokenize["weights"].values()) == pytest.approx(1)
    assert {one.input for one in recipe.sources.values()} - {"inputs/none"} <= recipe.about.bring.keys()


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("elyza-7b", "6.74B"), ("elyza-13b", "13B"), ("elyza-70b", "69B"), ("ridge-i-1.3b", "1.44B")],
)
def test_list_shows_parameters_tokens_and_variants(name: str, parameters: str, project: Path) -> None:
    rows = CliRunner().invoke(app, ["recipes"]).output.splitlines()

    words = next(row for row in rows if row.startswith(f"{name} ")).split()
    assert words[1:3] == ["no", parameters]
    assert next(row for row in rows if row.startswith("smoke")).split()[1] == "yes"
    assert set(NAMES) <= {row.split()[0] for row in rows[1:]}


def test_show_tells_sizes_what_is_published_and_what_to_bring(project: Path) -> None:
    said = kajiya("recipes", "show", "youri-7b")

    assert "6,738,415,616 parameters" in said
    assert "38,147 steps of 256 sequences x 4,096 tokens = 1,048,576 a step, 40B tokens in all" in said
    assert "tokenize.tokens = 40000000000 (model card of rinna/youri-7b)" in said
    assert "hf download meta-llama/Llama-2-7b-hf" in said
    assert "instruct-gptq: quantize of instruct" in said
    assert "tuning chat takes 16 GB and activations, on one device: A100 40 GB" in said
    assert (
        "5% wikipedia: wikipedia (wiki jawiki, date 20230901), rules encyclopedic-ja, read 2.2 times if"
        in said
    )
    assert said.endswith("kajiya recipes add youri-7b kajiya run --recipe youri-7b")


def test_add_beside_a_recipe_with_other_sources_is_refused_and_writes_nothing(project: Path) -> None:
    before = (project / "params.yaml").read_bytes()

    said = kajiya("recipes", "add", "youri-7b")

    assert said.startswith("2 ")
    assert re.search(r"params\.yaml:\d+: crawl\.wikipedia is \{.*`kajiya recipes remove NAME`", said)
    assert (project / "params.yaml").read_bytes() == before


@pytest.mark.parametrize("name", NAMES)
def test_remove_and_add_lead_from_any_recipe_to_any_other(name: str, project: Path) -> None:
    before = yaml.safe_load((project / "params.yaml").read_text())
    kajiya("recipes", "remove", "smoke")

    assert kajiya("recipes", "add", name).startswith("0 ")
    params = yaml.safe_load((project / "params.yaml").read_text())
    recipe = load_recipe(project / "recipes" / f"{name}.yaml")
    assert set(params["variants"]) == {f"{name}-{variant}" for variant in recipe.parents()}
    assert params["dedupe"]["priority"] == list(recipe.sources)
    assert params["crawl"] == {source: one.crawl for source, one in recipe.sources.items()}

    assert kajiya("recipes", "add", name).startswith(f"0 params.yaml holds all of {name} already.")
    kajiya("recipes", "remove", name)
    kajiya("recipes", "add", "smoke")
    assert yaml.safe_load((project / "params.yaml").read_text()) == before


def test_add_again_keeps_the_folders_a_person_chose_and_every_comment(project: Path) -> None:
    path = project / "params.yaml"
    text = path.read_text().replace("smoke: {base: inputs/none}", "smoke: {base: inputs/mine}  # 鍛冶")
    path.write_text(re.sub(r"  smoke-gptq: .*name: gptq}\n", "", text))

    assert kajiya("recipes", "add", "smoke").startswith("0 params.yaml: variants: smoke-gptq")

    assert "smoke: {base: inputs/mine}  # 鍛冶" in path.read_text()
    comments = [line for line in (ROOT / "params.yaml").read_text().splitlines() if line.startswith("#")]
    assert [line for line in path.read_text().splitlines() if line.startswith("#")] == comments


def test_remove_of_an_inactive_recipe_names_the_active_ones(project: Path) -> None:
    assert "recipe `youri-7b` is not active. Active: smoke." in kajiya("recipes", "remove", "youri-7b")


def test_short_number_keeps_three_digits() -> None:
    assert [short_number(value) for value in (6_738_415_616, 40e9, 450_000, 12)] == [
        "6.74B",
        "40B",
        "450k",
        "12",
    ]


YAML = """# top
one:
  a: {x: 1}  # stays
  b:
    - p
    - q

# before two
two: {}
three: {k: [m, n]}
"""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (set_entry(YAML, "one", "c", {"y": "2"}), {"a": {"x": 1}, "b": ["p", "q"], "c": {"y": "2"}}),
        (set_entry(YAML, "one", "b", 5), {"a": {"x": 1}, "b": 5}),
        (drop_entry(YAML, "one", "b"), {"a": {"x": 1}}),
        (set_list(YAML, ["one", "b"], ["q", "r"]), {"a": {"x": 1}, "b": ["q", "r"]}),
    ],
    ids=["added", "changed", "dropped", "listed"],
)
def test_edit_of_a_section_leaves_the_rest_as_it_was(text: str, value: dict) -> None:
    assert yaml.safe_load(text) == {**yaml.safe_load(YAML), "one": value}
    assert text.startswith("# top\none:\n  a: {x: 1}  # stays\n")
    assert text.endswith("\n# before two\ntwo: {}\nthree: {k: [m, n]}\n")


def test_edit_of_an_empty_or_absent_section_opens_it() -> None:
    text = set_entry(set_entry(YAML, "two", "z", {"y": True}), "four", "w", "no")

    assert yaml.safe_load(text) == {**yaml.safe_load(YAML), "two": {"z": {"y": True}}, "four": {"w": "no"}}
    assert "# before two\ntwo:\n  z: {y: true}\nthree" in text
    assert yaml.safe_load(set_list(YAML, ["three", "k"], ["n"]))["three"] == {"k": ["n"]}


def test_endpoint_of_the_judge_is_among_what_to_bring(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAJIYA_JUDGE_URL", raising=False)
    shown = kajiya("recipes", "show", "elyza-7b")
    assert "judged by gpt-4-turbo-2024-04-09: instruct" in shown
    assert "KAJIYA_JUDGE_URL: the endpoint of gpt-4-turbo-2024-04-09" in shown
    monkeypatch.setenv("KAJIYA_JUDGE_URL", "http://127.0.0.1:1/v1")
    assert "the endpoint of" not in kajiya("recipes", "show", "elyza-7b")
