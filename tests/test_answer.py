import json
import shutil
from types import SimpleNamespace

import pytest
import torch
from question_sets import write_questions
from served_model import write_pair, write_tokenizer_of_corpus
from tuning_world import read_files

from components.answer import answer, run
from components.answer.asking import asks, batches, chosen, room
from components.answer.generate import choose
from components.answer.settings import AnswerSettings
from components.answer.speak import Spoken
from kajiya.errors import KajiyaError
from kajiya.questions import load_questions
from kajiya.stage import execute

SETTINGS = AnswerSettings(max_new_tokens=24, batch_size=4, dtype="float32")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("answering")
    return write_pair(folder, write_tokenizer_of_corpus(folder), context=512)[0]


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    return write_questions(tmp_path_factory.mktemp("sets"))


def ask(model, folder, out, **settings):
    execute(run, SETTINGS.model_copy(update=settings), [model, folder], out)
    return [json.loads(line) for line in (out / "answers.jsonl").read_text().splitlines()]


def test_each_question_is_answered_once_per_turn(model, sets, tmp_path):
    answers = ask(model, sets, tmp_path / "answers")

    asked = [(one["set"], one["id"], one["turn"]) for one in answers]
    bench = [("ja_mt_bench", str(number), turn) for number in range(10, 18) for turn in (1, 2)]
    assert asked == [("elyza_tasks_100", str(number), 1) for number in (1, 2, 3)] + bench
    assert all(0 < one["new_tokens"] <= 24 for one in answers)
    report = json.loads((tmp_path / "answers.report.json").read_text())
    assert report["flows"]["ja_mt_bench"] == {"came_in": 16, "out": 16, "rejected": {}}
    assert sum(one["ended"] == "length" for one in answers) == sum(
        one["ended"].get("length", 0) for one in report["figures"].values()
    )


def test_second_turn_follows_the_models_own_first_answer(model, sets, tmp_path):
    first, second = (one for one in ask(model, sets, tmp_path / "answers") if one["id"] == "12")

    assert first["answer"]
    assert second["messages"] == [
        *first["messages"],
        {"role": "assistant", "content": first["answer"]},
        {"role": "user", "content": "もっと短く。"},
    ]


def test_first_turn_only_asks_no_second(model, sets, tmp_path):
    assert {one["turn"] for one in ask(model, sets, tmp_path / "a", turns="first")} == {1}


def test_answer_does_not_depend_on_what_is_asked_beside_it(model, sets, tmp_path):
    together = ask(model, sets, tmp_path / "a", turns="first")
    alone = ask(model, sets, tmp_path / "b", turns="first", batch_size=1, sets=("ja_mt_bench",))

    drawn = {one["id"]: one["answer"] for one in together if one["category"] in ("writing", "roleplay")}
    assert drawn.items() <= {one["id"]: one["answer"] for one in alone}.items()


def test_seed_changes_what_is_drawn_and_not_what_is_greedy(model, sets, tmp_path):
    one = {a["id"]: a for a in ask(model, sets, tmp_path / "a", turns="first")}
    other = {a["id"]: a for a in ask(model, sets, tmp_path / "b", turns="first", seed=5)}

    changed = {one[name]["category"] for name in one if one[name]["answer"] != other[name]["answer"]}
    assert {"writing", "roleplay"} <= changed <= {"writing", "roleplay", "stem", "humanities"}


def test_greedy_answers_are_those_of_transformers(model, sets, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    plain, tokenizer = AutoModelForCausalLM.from_pretrained(model), AutoTokenizer.from_pretrained(model)
    for one in ask(model, sets, tmp_path / "a"):
        if one["category"] in ("math", "coding", "reasoning", "extraction", ""):
            ids = tokenizer.apply_chat_template(
                one["messages"], add_generation_prompt=True, return_tensors="pt"
            )
            given = ids["input_ids"] if not isinstance(ids, torch.Tensor) else ids
            made = plain.generate(given, do_sample=False, max_new_tokens=24)[0, given.shape[1] :]
            assert one["answer"] == tokenizer.decode(made, skip_special_tokens=True).strip()


def test_context_that_ends_an_answer_is_marked_and_counted(tmp_path, sets):
    model = write_pair(tmp_path, write_tokenizer_of_corpus(tmp_path), context=48)[0]

    answers = ask(model, sets, tmp_path / "answers", max_new_tokens=40)

    assert {one["cut"] for one in answers} >= {"answer", "prompt"}
    assert all(one["answer"] == "" and not one["new_tokens"] for one in answers if one["cut"] == "prompt")
    assert all(one["prompt_tokens"] + one["new_tokens"] == 48 for one in answers if one["cut"] == "answer")
    figures = json.loads((tmp_path / "answers.report.json").read_text())["figures"]["ja_mt_bench"]
    marked = [one["cut"] for one in answers if one["set"] == "ja_mt_bench"]
    assert figures["cut"] == {"prompt": marked.count("prompt"), "answer": marked.count("answer")}


def test_answers_written_before_a_crash_are_not_made_again(model, sets, tmp_path, monkeypatch):
    from components.answer import speak

    whole = ask(model, sets, tmp_path / "whole")
    made = []

    def killed_after(count):
        def answer(self, wishes, plain=speak.ChatModel.answer):
            if len(made) == count:
                raise KeyboardInterrupt
            made.append(len(wishes))
            yield from plain(self, wishes)

        return answer

    with monkeypatch.context() as patch:
        patch.setattr(speak.ChatModel, "answer", killed_after(4))  # in the second turn
        with pytest.raises(KeyboardInterrupt):
            ask(model, sets, tmp_path / "answers")
    before = sum(made)
    made.clear()
    with monkeypatch.context() as patch:
        patch.setattr(speak.ChatModel, "answer", killed_after(99))
        again = ask(model, sets, tmp_path / "answers")

    assert again == whole
    assert before + sum(made) == len(whole)
    assert read_files(tmp_path / "answers") == read_files(tmp_path / "whole")


def test_answers_with_line_ends_that_json_leaves_as_they_are_outlive_a_crash(sets, tmp_path):
    questions = load_questions(sets, "elyza_tasks_100").questions
    wanted = list(asks(questions, 1, {}, None))
    spoken = [Spoken(place, f"上\u2028中\u2029下\x85{place}", 5, "stop") for place in range(len(wanted))]
    speaker = SimpleNamespace(
        context=512, encode=lambda messages: [1, 2], answer=lambda wishes: spoken[: len(wishes)]
    )

    made = answer(SETTINGS, speaker, wanted, tmp_path)
    speaker.answer = None

    assert answer(SETTINGS, speaker, wanted, tmp_path) == made


def test_model_without_a_chat_template_is_refused_by_name(model, sets, tmp_path):
    silent = tmp_path / "silent"
    shutil.copytree(model, silent)
    (silent / "chat_template.jinja").unlink()

    with pytest.raises(KajiyaError, match=r"silent: this model has no chat template.*judged"):
        ask(silent, sets, tmp_path / "answers")


def test_defective_question_ends_the_stage_with_file_and_line(model, tmp_path):
    sets = write_questions(tmp_path / "sets")
    file = sets / "ja_mt_bench" / "question_full.jsonl"
    lines = file.read_text().splitlines()
    lines[4] = lines[4].replace("の問い", '"の問い')
    file.write_text("\n".join(lines))

    with pytest.raises(KajiyaError, match=r"question_full\.jsonl:5: invalid JSON"):
        ask(model, sets, tmp_path / "answers")


def test_missing_set_is_named_with_the_remedy(model, tmp_path):
    (tmp_path / "sets").mkdir()
    with pytest.raises(KajiyaError, match=r"elyza_tasks_100: no such folder.*answer\.sets"):
        ask(model, tmp_path / "sets", tmp_path / "answers")


def test_published_temperatures_hold_until_a_recipe_names_others():
    plain, own = AnswerSettings(), AnswerSettings(temperatures={"writing": 0.2, "elyza_tasks_100": 0.5})

    assert [plain.temperature("ja_mt_bench", name) for name in ("writing", "roleplay", "stem", "math")] == [
        0.7,
        0.7,
        0.1,
        0,
    ]
    assert plain.temperature("elyza_tasks_100", "") == 0
    assert own.temperature("ja_mt_bench", "writing") == 0.2
    assert own.temperature("elyza_tasks_100", "") == 0.5


def test_limit_keeps_the_order_and_depends_on_the_seed(sets):
    questions = load_questions(sets, "ja_mt_bench").questions
    some = [one.id for one in chosen(questions, 4, seed=1)]

    assert some == sorted(some)
    assert len(some) == 4
    assert some != [one.id for one in chosen(questions, 4, seed=2)]


@pytest.mark.parametrize(
    ("prompt", "limit", "cut"), [(10, 20, None), (30, 10, "answer"), (39, 1, "answer"), (40, 0, "prompt")]
)
def test_room_is_what_the_context_leaves(prompt, limit, cut):
    assert room(prompt, context=40, wanted=20) == (limit, cut)


def test_batches_hold_every_place_once_the_longest_first():
    assert batches([3, 9, 9, 1, 5], 2) == [[1, 2], [4, 0], [3]]


def test_tokens_are_drawn_with_the_odds_of_the_temperature():
    random = torch.Generator().manual_seed(1)
    logits = torch.log(torch.tensor([0.6, 0.3, 0.1]))

    drawn = [choose(logits, 0.5, 1.0, random) for _ in range(3000)]

    shares = torch.bincount(torch.tensor(drawn), minlength=3) / 3000
    assert torch.allclose(shares, torch.tensor([0.36, 0.09, 0.01]) / 0.46, atol=0.03)
    assert {choose(logits, 1.0, 0.5, random) for _ in range(50)} == {0}
    assert choose(logits, 0.0, 1.0, random) == 0
