"""Which sets a run takes, from where; what is missing is an error or a declared skip."""

import json
from pathlib import Path

import pytest
from evaluation_world import CITIES, write_lines, write_published
from pydantic import ValidationError

from components.evaluate import EvaluateSettings, load_sets
from components.evaluate.catalog import TASKS
from components.evaluate.sets import versions
from kajiya.errors import KajiyaError
from kajiya.evaluation_sets import list_sets, load_all

ALL = EvaluateSettings(tasks=(*TASKS, "arc", "jmmlu"), english=False)


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    return write_published(tmp_path / "sets")


def asking(*tasks: str, **settings: object) -> EvaluateSettings:
    return EvaluateSettings.model_validate({"tasks": tasks, "english": False} | settings)


def test_wording_that_yaml_reads_as_a_number_is_its_name() -> None:
    settings = asking("jnli", prompts=0.2, prompts_of={"jnli": 0.3})
    assert (settings.prompts, settings.prompts_of) == ("0.2", {"jnli": "0.3"})


def test_negative_number_of_examples_is_refused() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        asking("jnli", shots={"jnli": [-1]})


def test_every_published_form_is_read_as_it_is(sets: Path) -> None:
    loaded = load_sets(ALL, sets)
    counts = {name: len(splits["valid"].items) for name, splits in loaded.items()}
    assert counts == {
        "jcommonsenseqa": 6, "jnli": 4, "marc_ja": 5, "jsquad": 3, "jaqket_v2": 3, "xlsum_ja": 3,
        "xwinograd_ja": 4, "mgsm": 6, "mgsm_en": 6, "gsm8k": 6, "arc": 3, "jmmlu": 3,
    }  # fmt: skip
    first = {name: splits["valid"].items[0] for name, splits in loaded.items()}
    assert [len(first["jaqket_v2"].ctxs), first["jaqket_v2"].answers] == [5, ("信濃川", "千曲川")]
    assert (first["mgsm"].number, first["gsm8k"].number, first["mgsm_en"].number) == (1001, 1, 2)
    assert (first["arc"].question, first["arc"].choices, first["arc"].label) == (
        "The river 0 runs to the", ("sea", "mountains"), 0,
    )  # fmt: skip
    assert [item.id for item in loaded["jmmlu"]["valid"].items] == [
        "astronomy:1", "high_school_geography:1", "high_school_geography:2",
    ]  # fmt: skip
    assert loaded["jmmlu"]["valid"].items[0].question == "赤い,果物は？"


def test_score_carries_the_version_in_the_file_name_or_else_the_begin_of_its_hash(sets: Path) -> None:
    loaded = load_sets(asking("jnli", "gsm8k"), sets)
    assert versions(loaded["jnli"])["version"] == "v1.3"
    gsm8k = versions(loaded["gsm8k"])
    assert gsm8k["version"] == f"sha256-{gsm8k['sha256'][:12]}"
    assert gsm8k["split"] == "test"


def test_corpus_is_cleared_of_every_published_set(sets: Path) -> None:
    assert "jglue/jnli" in list_sets(sets)
    watched = {one.name: {passage.text for passage in one.passages()} for one in load_all(sets)}
    assert "川0が長い。" in watched["jglue/jnli"]
    assert "りんご0は赤いので食べた。" in watched["xwinograd_ja"]
    assert not any("は長い" in text for text in watched["jaqket_v2"])  # Wikipedia's own passages may stay
    assert "How many are 1 and 1?" in watched["mgsm_en"]


@pytest.mark.parametrize(
    ("published", "kept"),
    [
        (
            {"ctx": "The river", "endings": ["runs.", "eats."], "label": "0", "ind": 24},
            ("The river", "runs.", "24"),
        ),
        ({"question": "2?", "choices": ["1", "2"], "answer": 1, "subject": "math"}, ("2?", "2", "1")),
        (
            {
                "id": "a",
                "question": "Sea?",
                "choices": {"text": ["wet", "dry"], "label": ["1", "2"]},
                "answerKey": "1",
            },
            ("Sea?", "wet", "a"),
        ),
        ({"question": "Sea?", "choices": ["wet", "dry"], "answer": "B"}, ("Sea?", "dry", "1")),
    ],
    ids=["hellaswag", "mmlu", "arc-hub", "letter"],
)
def test_multiple_choice_of_any_publisher_gives_question_and_right_choice(
    tmp_path: Path, published: dict, kept: tuple[str, ...]
) -> None:
    write_lines(tmp_path / "forgetting" / "test.jsonl", [published])
    (item,) = load_sets(asking("forgetting"), tmp_path)["forgetting"]["valid"].items
    assert (item.question, item.choices[item.label], item.id) == kept


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("mgsm/mgsm_ja.tsv", "問題\t1\n問題だけ\n", r"mgsm_ja\.tsv:2: expected question, tab and answer; found 1"),
        ("mgsm/mgsm_ja.tsv", "問題\t十\n", r"mgsm_ja\.tsv:1: answer: no number in '十'"),
        ("gsm8k/test.jsonl", '{"question": "2?", "answer": "two"}', r"test\.jsonl:1: answer: no number in 'two'"),
        ("jmmlu/a.csv", "市は？,川,海,E\n", r"a\.csv:1: expected question, choices and the letter.*'E'"),
        ("ja_mt_bench/question_full.jsonl", '{"question_id": 1, "category": "a", "turns": ["b"]}\n{"x"', r":2: invalid JSON"),
        ("elyza_tasks_100/dataset.jsonl", '{"input_text": "a", "output_text": "b"}', r":1: eval_aspect: Field required"),
        ("xwinograd_ja/test.jsonl", '{"sentence1": "a", "sentence2": "b", "answer": 3}', r":1: answer"),
    ],
)  # fmt: skip
def test_line_that_is_wrong_is_named_by_file_and_number(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text(text)
    with pytest.raises(KajiyaError, match=message):
        list(load_all(tmp_path))


def test_task_without_its_set_is_an_error_that_names_all_ways_out(sets: Path) -> None:
    message = r"jcola: no such folder.*evaluate\.data\.jcola.*evaluate\.skip\.jcola.*Sets there are: arc"
    with pytest.raises(KajiyaError, match=message):
        load_sets(asking("jnli", "jcola"), sets)


def test_declared_skip_takes_the_place_of_a_missing_set(sets: Path) -> None:
    (sets / "mgsm" / "mgsm_ja.tsv").unlink()
    loaded = load_sets(asking("jnli", "mgsm", skip={"mgsm": "its licence is being asked for"}), sets)
    assert list(loaded) == ["jnli"]


@pytest.mark.parametrize(
    ("skip", "message"),
    [
        ({"mgsm": "no time"}, r"evaluate\.skip\.mgsm: the set is there"),
        ({"jnli": "no time"}, r"evaluate\.skip\.jnli: the set is there"),
        ({"mgsn": "not here"}, r"no task is called `mgsn`\. Did you mean `mgsm`"),
        ({"cola": " "}, r"evaluate\.skip\.cola: no reason"),
    ],
    ids=["there", "there in a group", "unknown", "no reason"],
)
def test_skip_of_what_is_there_or_unknown_or_unreasoned_is_refused(
    sets: Path, skip: dict, message: str
) -> None:
    with pytest.raises(KajiyaError, match=message):
        load_sets(asking("jnli", "cola", skip=skip), sets)


def test_data_names_the_folder_or_the_file_that_a_task_reads(sets: Path) -> None:
    (sets / "jglue").rename(sets / "jglue-1.3")
    write_lines(sets / "jglue-1.1" / "jnli" / "valid-v1.1.json", [])
    (sets / "jglue-1.1" / "jnli" / "valid-v1.1.json").write_text(
        (sets / "jglue-1.3" / "jnli" / "valid-v1.3.json").read_text().replace("川が", "海が")
    )
    with pytest.raises(
        KajiyaError, match=r"jglue-1\.1/jnli and jglue-1\.3/jnli both hold.*evaluate\.data\.jnli"
    ):
        load_sets(asking("jnli"), sets)
    for path in ("jglue-1.1/jnli", "jglue-1.1/jnli/valid-v1.1.json"):
        loaded = load_sets(asking("jnli", data={"jnli": path}), sets)["jnli"]["valid"]
        assert (loaded.version, loaded.items[0].sentence2) == ("v1.1", "海がある。")


@pytest.mark.parametrize(
    ("path", "message"),
    [("../other", "must lie below"), ("/data/jnli", "must lie below"), ("nowhere", "no evaluation set there"),
     ("mgsm", "several sets there")],
)  # fmt: skip
def test_data_outside_of_the_sets_or_without_one_is_refused(sets: Path, path: str, message: str) -> None:
    with pytest.raises(KajiyaError, match=f"evaluate.data.mgsm: {path}: .*{message}"):
        load_sets(asking("mgsm", data={"mgsm": path}), sets)


def test_settings_for_a_task_that_nobody_knows_are_refused() -> None:
    with pytest.raises(ValueError, match="shots: no task is called `jnlo`: did you mean `jnli`"):
        asking("jnli", shots={"jnlo": (3,)})
    with pytest.raises(ValueError, match="a task stands twice"):
        asking("jnli", "jnli")
    with pytest.raises(ValueError, match="`jglue/jnli` is no name; name the folder"):
        asking("jglue/jnli")


def test_examples_come_from_the_development_split_where_there_is_no_training_split(tmp_path: Path) -> None:
    for split, text in (("test", "市"), ("dev", "県")):
        records = [{"question": f"{text}{k}は？", "choices": CITIES, "label": k} for k in range(3)]
        write_lines(tmp_path / "cities" / f"{split}.jsonl", records)
    loaded = load_sets(asking("cities", shots={"cities": (2,)}), tmp_path)["cities"]
    assert [loaded[part].items[0].question for part in ("valid", "train")] == ["市0は？", "県0は？"]
    assert json.dumps(versions(loaded)).count("sha256-") == 2


def test_folders_of_tables_are_the_splits_of_one_set(tmp_path: Path) -> None:
    for split, city in (("dev", "松山市"), ("test", "青森市")):
        (tmp_path / "mmlu" / split).mkdir(parents=True)
        (tmp_path / "mmlu" / split / f"cities_{split}.csv").write_text(f"市は？,{city},川,海,山,A\n")
    loaded = load_sets(asking("mmlu", shots={"mmlu": (1,)}), tmp_path)["mmlu"]
    assert [loaded[part].items[0].choices[0] for part in ("valid", "train")] == ["青森市", "松山市"]
    assert loaded["valid"].items[0].id == "cities_test:1"


def test_of_mt_bench_the_whole_set_is_read_where_both_files_are(tmp_path: Path) -> None:
    for name, count in (("question", 1), ("question_full", 2)):
        records = [{"question_id": k, "category": "math", "turns": ["一", "二"]} for k in range(count)]
        write_lines(tmp_path / "ja_mt_bench" / f"{name}.jsonl", records)
    assert [len(one.items) for one in load_all(tmp_path)] == [2]
    (tmp_path / "ja_mt_bench" / "question_full.jsonl").unlink()
    assert [len(one.items) for one in load_all(tmp_path)] == [1]


def test_folders_of_jglue_may_keep_the_version_in_their_names(sets: Path) -> None:
    for path in list((sets / "jglue").iterdir()):
        path.rename(path.with_name(f"{path.name}-v1.3")) if path.is_dir() else path.unlink()
    loaded = load_sets(asking("jnli", "jsquad"), sets)
    assert [len(loaded[name]["valid"].items) for name in ("jnli", "jsquad")] == [4, 3]
    assert "jglue/jnli-v1.3" in list_sets(sets)


def test_training_split_alone_is_nothing_to_measure_on(tmp_path: Path) -> None:
    write_lines(tmp_path / "gsm8k" / "train.jsonl", [{"question": "2?", "answer": "#### 2"}])
    with pytest.raises(KajiyaError, match=r"train\.jsonl: no split `valid` or `test` beside it"):
        load_sets(asking("gsm8k"), tmp_path)
