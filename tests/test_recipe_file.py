"""A recipe's variants hang together, and params.yaml holds what they need."""

from pathlib import Path

import pytest
import yaml

from flows.graph import Stage
from flows.precheck import check_recipes, check_settings
from kajiya.errors import KajiyaError
from kajiya.recipe_entries import drift, entries_in, entries_of
from kajiya.recipe_loading import load_recipe

ROOT = Path(__file__).parent.parent

CHAIN = """description: a chain
variants:
  chat-gptq: {of: chat}
  chat: {of: instruct, instructions: talk}
  instruct: {of: base, instructions: tasks}
  liked: {of: chat, pairs: votes}
sft: {instruct: {}, chat: {}}
dpo: {liked: {}}
quantize: {chat-gptq: {method: gptq}}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_parents_come_before_what_is_made_from_them(tmp_path: Path) -> None:
    parents = load_recipe(write(tmp_path, CHAIN)).parents()

    assert list(parents.items()) == [
        ("base", None),
        ("instruct", "base"),
        ("chat", "instruct"),
        ("chat-gptq", "chat"),
        ("liked", "chat"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("of: instruct", "of: instrct", r":4: variants\.chat: of: no variant `instrct`\. There are: base,"),
        ("of: base", "of: chat", r":5: variants\.instruct: made from itself"),
        ("of: base, instructions: tasks", "of: base", r":5: .*instructions: must be given: `sft`"),
        ("{of: chat}", "{of: chat, pairs: votes}", r":3: .*pairs: `quantize` reads no such folder"),
        ("of: instruct,", "of: chat-gptq,", r":4: .*`chat-gptq` is in 4 bits"),
        ("instruct: {}, chat: {}", "instruct: {}", r":4: variants\.chat: it has no settings"),
        ("liked: {}", "liked: {}, chat: {}", r":4: variants\.chat: its settings stand in sft and dpo"),
        ("liked: {}", "liked: {}, more: {}", r":8: dpo\.more: add `more: \{of: \.\.\.\}` under `variants`"),
        ("chat-gptq: {of", "Chat_GPTQ: {of", r":3: variants\.Chat_GPTQ: no name for a variant"),
        ("liked: {of", "base: {of", r"variants\.base: no name for a variant"),
        (
            "quantize:",
            "gate: {variants: {chat-gtpq: {task_drop_points: 9}}}\nquantize:",
            r"gate\.variants\.chat-gtpq: no variant .*Did you mean `chat-gptq`",
        ),
        ("description", "describtion", r":1: describtion: unknown setting\. Did you mean `description`"),
    ],
)
def test_recipe_that_does_not_hang_together_names_line_and_remedy(
    old: str, new: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(KajiyaError, match=words):
        load_recipe(write(tmp_path, CHAIN.replace(old, new, 1)))


@pytest.mark.parametrize(("named", "lacking"), [("chat", "chat-gptq"), ("chat-gptq", "chat")])
def test_template_for_one_of_a_variant_and_its_quantization_is_refused_with_both(
    named: str, lacking: str, tmp_path: Path
) -> None:
    asked = f"evaluate:\n  chat_variants: [instruct, {named}]\n"
    with pytest.raises(
        KajiyaError, match=rf":11: .*`{named}` stands here and `{lacking}` does not.*Name both"
    ):
        load_recipe(write(tmp_path, CHAIN + asked))
    load_recipe(write(tmp_path, CHAIN + asked.replace(named, f"{named}, {lacking}")))


@pytest.mark.parametrize("folder", ["/data/llama", "../../llama", "inputs/../../llama", ".", "inputs/none"])
def test_base_whose_folder_is_not_the_projects_is_refused_with_line_and_remedy(
    folder: str, tmp_path: Path
) -> None:
    base = f"{{hub: h, folder: {folder}, shape: {{size: 7B}}, vocabulary_size: 9}}"

    with pytest.raises(KajiyaError, match=r":2: about\.base\.folder: .*Write a(nother)? folder"):
        load_recipe(write(tmp_path, f"description: d\nabout: {{name: n, base: {base}}}\n"))


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml")))
def test_every_recipe_of_the_repository_hangs_together(name: str) -> None:
    assert load_recipe(ROOT / "recipes" / f"{name}.yaml").description


def test_params_hold_just_the_entries_of_the_smoke_recipe() -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    recipe = load_recipe(ROOT / "recipes" / "smoke.yaml")

    assert entries_in(params, "smoke") == entries_of("smoke", recipe, "inputs/none")


def test_drift_of_another_folder_is_none(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, CHAIN))
    entries = entries_of("r", recipe, "inputs/a")
    entries["recipes"]["r"]["base"] = "inputs/b"
    entries["tunings"]["r-chat"] = {**entries["tunings"]["r-chat"], "instructions": "elsewhere"}

    assert drift(entries, "r", recipe) == []


def test_drift_names_what_is_missing_left_over_and_made_from_another(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, CHAIN))
    entries = entries_of("r", recipe, "inputs/a")
    del entries["preferences"]["r-liked"]
    entries["variants"]["r-old"] = {"recipe": "r", "name": "old"}
    entries["tunings"]["r-chat"] = {**entries["tunings"]["r-chat"], "of": "base"}

    assert drift(entries, "r", recipe) == [
        "tunings.r-chat.of is base, in the recipe instruct",
        "`preferences` lacks r-liked",
        "`variants` holds r-old, which the recipe does not name",
    ]


def test_run_of_a_recipe_that_drifted_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "r.yaml").write_text(CHAIN)
    (tmp_path / "params.yaml").write_text("recipes: {r: {base: inputs/none}}\n")

    for recipe in (None, "r"):
        with pytest.raises(KajiyaError, match=r"`variants` lacks r-base.*`kajiya recipes add r`"):
            check_recipes(tmp_path, recipe)


def test_run_with_a_source_that_the_mixture_does_not_weigh_is_refused_before_the_crawl(
    tmp_path: Path,
) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "r.yaml").write_text(
        "description: d\ntokenize: {weights: {web: 0.4, old: 0.6}}\n"
    )
    params = {
        "sources": {"web": {}, "news": {}},
        **entries_of("r", load_recipe(tmp_path / "recipes/r.yaml"), "b"),
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))

    with pytest.raises(KajiyaError, match=r"names old, which(.|\n)*lacks news.*\(0 leaves it out"):
        check_recipes(tmp_path, "r")


JUDGED = (
    CHAIN
    + """judged: [chat]
answer: {}
judge: {model: judge-1}
"""
)


@pytest.mark.parametrize(
    ("made", "known"), [(None, True), ("data", False)], ids=["at-hand", "made-by-a-stage"]
)
def test_run_with_a_missing_evaluation_set_is_refused_before_the_first_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: str | None, known: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "evaluate: {tasks: [jnli, arc], english: false}\n")
    Path("params.yaml").write_text("evaluation_sets: data/sets\n")
    (tmp_path / "data" / "sets" / "arc").mkdir(parents=True)
    (tmp_path / "data" / "sets" / "arc" / "test.jsonl").write_text("{}\n")
    stages = [
        Stage("sample", frozenset(), Path(made or "elsewhere"), frozenset()),
        Stage("evaluate@r", frozenset(), Path("e"), frozenset(), ((Path("recipe.yaml"), ("evaluate",)),)),
    ]
    graph = {stage.name: stage for stage in stages}
    if known:
        with pytest.raises(KajiyaError, match=r"data/sets/jnli: no such folder.*evaluate\.skip\.jnli"):
            check_settings(graph, set())
    check_settings(graph, set() if not known else {"evaluate@r"})


def test_judged_variants_stand_in_a_list_of_their_own(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, JUDGED))

    assert entries_of("r", recipe, "b")["judged"] == {"r-chat": {"recipe": "r", "name": "chat"}}
    params = {**entries_of("r", recipe, "b"), "judged": {"r-liked": {"recipe": "r", "name": "liked"}}}
    assert drift(params, "r", recipe) == [
        "`judged` lacks r-chat",
        "`judged` holds r-liked, which the recipe does not name",
    ]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("[chat]", "[chta]", "no variant `chta`"),
        ("[chat]", "[base]", "`base` is not tuned"),
        ("[chat]", "[chat, chat]", "named twice"),
        ("judge: {model: judge-1}\n", "", "name the judge"),
        ("answer: {}\n", "", "add the section `answer: {}`"),
    ],
    ids=["unknown", "untuned", "twice", "no judge", "no section"],
)
def test_judging_that_cannot_be_is_refused_with_the_line(
    tmp_path: Path, old: str, new: str, problem: str
) -> None:
    with pytest.raises(KajiyaError, match=rf"recipe\.yaml:[0-9]+: judged: .*{problem}"):
        load_recipe(write(tmp_path, JUDGED.replace(old, new)))


def test_variant_cannot_be_called_like_a_folder_of_judging(tmp_path: Path) -> None:
    with pytest.raises(KajiyaError, match="no name for a variant"):
        load_recipe(write(tmp_path, CHAIN.replace("liked", "answers")))
