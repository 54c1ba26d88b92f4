import json

import pytest
import torch
from transformers import AutoModelForCausalLM
from tuning_world import POLICY, SETTINGS, message, pair, places, read_files, write, write_evaluation_sets

from components.dpo import run
from components.dpo.pairs import encode
from components.dpo.settings import DpoSettings
from kajiya.errors import KajiyaError
from kajiya.lm import checkpoint
from kajiya.lm.conversations import choose_template, load_chat_tokenizer
from kajiya.lm.tuning.output import split
from kajiya.lm.tuning.records import Preference, read_preferences
from kajiya.lm.tuning.settings import LoraSettings

CONFIG = DpoSettings(
    **SETTINGS.model_dump(include={"max_tokens", "precision", "threads", "validation_share"}),
    epochs=2, batch_size=8, micro_batch_size=4, learning_rate=1e-3, log_every_steps=1, save_every_steps=3,
)  # fmt: skip


def tune(base, pairs, out, config=CONFIG):
    sets = write_evaluation_sets(out.parent / "evaluation")
    report = run(config, base, pairs, sets, POLICY, **places(out))
    report.check()
    return report


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    records = [pair(i) for i in range(48)]
    records[5]["rejected"]["generator"] = "gpt-4"
    records[7]["chosen"]["generator"] = "claude-3"
    records[9]["prompt"][0]["generator"] = "gpt-4"
    records[11]["license"] = "CC-BY-NC-4.0"
    return write(tmp_path_factory.mktemp("pairs") / "in", records)


@pytest.fixture(scope="module")
def tuned(tuning_base, pairs, tmp_path_factory):
    out = tmp_path_factory.mktemp("tuned") / "preferred"
    return tune(tuning_base, pairs, out), out


def test_tuning_on_pairs_raises_accuracy_and_margin_on_pairs_held_out(tuned):
    report, out = tuned
    before, after = report.figures["held_out"]["before"], report.figures["held_out"]["after"]
    assert after["log_probability_gap"] > before["log_probability_gap"] + 1
    assert after["accuracy"] >= before["accuracy"]
    assert after["reward_accuracy"] == 1
    assert after["reward_margin"] > 0.1
    assert report.figures["loss"]["first"] == pytest.approx(
        0.6931, abs=1e-3
    )  # ln 2: start and reference agree
    assert report.figures["loss"]["last"] < 0.6
    steps = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in steps] == list(range(1, report.figures["steps"] + 1))
    assert steps[-1]["reward_margin"] > steps[0]["reward_margin"]


def test_pairs_that_the_policy_does_not_clear_are_refused_by_name_whoever_wrote_which_part(tuned):
    report, out = tuned
    refused = [json.loads(line) for line in (out / "rejected.jsonl").read_text().splitlines()]
    assert [(one["where"], one["reason"], one["detail"].split(":")[0]) for one in refused] == [
        ("a.jsonl:6", "forbidden_generator:gpt-4", "rejected"),
        ("a.jsonl:8", "forbidden_generator:claude-3", "chosen"),
        ("a.jsonl:10", "forbidden_generator:gpt-4", "message 1"),
        ("a.jsonl:12", "forbidden_license:CC-BY-NC-4.0", "line CC-BY-NC-* of policy.yaml"),
    ]
    assert report.figures["generators"] == {"human": 44}
    assert report.figures["licenses"] == {"CC0-1.0": 44}


def test_held_out_figures_are_those_that_plain_transformers_gives(tuned, tuning_base, pairs):
    """An independent way to the same numbers: one answer at a time, by the models as they were saved."""
    report, out = tuned
    tokenizer = load_chat_tokenizer(out)
    kept = [
        encode(one, tokenizer, 96) for one in read_preferences(pairs) if set(one.generators()) == {"human"}
    ]
    _, held_out = split(
        [one for one in kept if one.license == "CC0-1.0"], CONFIG.validation_share, CONFIG.seed
    )

    def logps(folder):
        model = AutoModelForCausalLM.from_pretrained(folder).eval()
        found = []
        for one in held_out:
            for answer in (one.chosen_ids, one.rejected_ids):
                ids = torch.tensor([[*one.prompt_ids, *answer]])
                with torch.no_grad():
                    scores = model(ids).logits.log_softmax(-1)[0, :-1]
                found.append(scores.gather(1, ids[0, 1:, None])[len(one.prompt_ids) - 1 :].sum())
        return torch.stack(found).reshape(-1, 2)

    before, after = logps(tuning_base), logps(out)
    reward = CONFIG.beta * ((after - before)[:, 0] - (after - before)[:, 1])
    told = report.figures["held_out"]["after"]
    assert told["reward_margin"] == pytest.approx(float(reward.mean()), abs=1e-4)
    assert told["log_probability_gap"] == pytest.approx(float((after[:, 0] - after[:, 1]).mean()), abs=1e-3)
    assert report.figures["pairs"]["validation"] == len(held_out)


def test_dpo_killed_and_run_again_gives_the_bytes_of_an_undisturbed_run(
    tuned, tuning_base, pairs, tmp_path, monkeypatch
):
    expected, whole = tuned
    publish = checkpoint.publish

    def killed(*arguments, **keywords):
        publish(*arguments, **keywords)
        if arguments[1] == 6:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "publish", killed)
    with pytest.raises(KeyboardInterrupt):
        tune(tuning_base, pairs, tmp_path / "out")
    monkeypatch.undo()
    assert tune(tuning_base, pairs, tmp_path / "out") == expected
    assert read_files(tmp_path / "out") == read_files(whole)


def test_dpo_with_lora_is_merged(tuning_base, pairs, tmp_path):
    config = CONFIG.model_copy(
        update={"lora": LoraSettings(rank=4), "learning_rate": 1e-2, "epochs": 1, "precision": "bf16"}
    )
    report = tune(tuning_base, pairs, tmp_path / "lora", config)
    assert report.figures["held_out"]["after"]["reward_margin"] > 0
    assert report.figures["merge_difference"] < 1e-4
    assert report.figures["parameters"]["trained"] < report.figures["parameters"]["all"] / 3


def test_pair_is_prompt_and_two_answers_each_to_its_end(tuning_base):
    tokenizer = load_chat_tokenizer(tuning_base)
    tokenizer.chat_template = choose_template(tokenizer)[1]
    prompt = [message("user", "一つ目"), message("assistant", "はい。"), message("user", "二つ目")]
    found = encode(Preference.model_validate(pair(prompt=prompt)), tokenizer, 96)
    asked = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=True)["input_ids"]
    assert found.prompt_ids.tolist() == asked
    assert tokenizer.decode(found.chosen_ids) == "松山で売っています。</s>"
    assert tokenizer.decode(found.rejected_ids) == "高松の店は「高い」と言った。</s>"


def test_pair_too_long_in_one_answer_is_refused_whole(tuning_base):
    tokenizer = load_chat_tokenizer(tuning_base)
    tokenizer.chat_template = choose_template(tokenizer)[1]
    long = {"content": "高い" * 90, "generator": "human"}
    outcome = encode(Preference.model_validate(pair(rejected=long)), tokenizer, 60)
    assert outcome.reason == "too_long"


def test_nothing_left_to_train_on_is_an_error(tuning_base, tmp_path):
    folder = write(tmp_path / "in", [pair(license="CC-BY-NC-4.0")])
    with pytest.raises(KajiyaError, match=r"none is left to train on .*forbidden_license"):
        tune(tuning_base, folder, tmp_path / "out")
