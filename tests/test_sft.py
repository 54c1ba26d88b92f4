import json
import shutil
from pathlib import Path

import pytest
import torch
from tiny_corpus import write_corpus, write_tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from components.sft import run
from components.sft.examples import Rejected, encode
from components.sft.policy import Gate
from components.sft.settings import LoraSettings, SftSettings
from kajiya.errors import KajiyaError
from kajiya.lm.conversations import (
    TEXT_TEMPLATE,
    Conversation,
    choose_template,
    encode_conversation,
    load_chat_tokenizer,
    read_conversations,
)
from kajiya.lm.tokenizer import copy_tokenizer

POLICY = Path(__file__).parent.parent / "policy.yaml"
SETTINGS = SftSettings(
    max_tokens=96, epochs=3, batch_size=8, micro_batch_size=8, learning_rate=3e-3, precision="fp32",
    validation_share=0.2, threads=1, log_every_steps=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    tokenizer = write_tokenizer(folder / "tokenizer", write_corpus(folder / "corpus"))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=440, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, bos_token_id=1, eos_token_id=1, pad_token_id=2,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder / "base")
    copy_tokenizer(tokenizer, folder / "base")
    return folder / "base"


@pytest.fixture(scope="module")
def tokenizer(base):
    loaded = load_chat_tokenizer(base)
    loaded.chat_template = choose_template(loaded)[1]
    return loaded


def record(number=0, **values):
    messages = [
        {"role": "user", "content": f"{number}円のみかんは？"},
        {"role": "assistant", "content": " 松山で\n売っています。😀"},
    ]
    return {"id": f"r{number}", "messages": messages, "license": "CC0-1.0", "generator": "human"} | values


def message(role, content="はい。"):
    return {"role": role, "content": content}


def write(folder, records):
    folder.mkdir(exist_ok=True)
    lines = [one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in records]
    (folder / "a.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def conversation(**values):
    return Conversation.model_validate(record(**values) | {"where": "a.jsonl:1"})


def tune(base, instructions, out, settings=SETTINGS):
    out.mkdir()
    sets = out.parent / "evaluation" / "english"
    sets.mkdir(parents=True, exist_ok=True)
    (sets / "valid-v0.1.json").write_text('{"text": "Nothing of this is said in any conversation."}')
    report = run(settings, base, instructions, sets.parent, POLICY, out=out)
    report.check()
    return report


@pytest.mark.parametrize("reply", ["はい。", " 空白と\n改行 ", "😀𠮟る", "e\u0301", "123", "終わり\n\n"])
def test_labels_are_the_replies_and_their_ends_and_nothing_else(tokenizer, reply):
    turns = [message("system"), message("user", "一つ目"), message("assistant", reply)]
    turns += [message("user", "二つ目"), message("assistant", reply)]
    ids, labels = encode_conversation(tokenizer, turns)
    kept = [label for label in labels if label != -100]
    assert tokenizer.decode(kept) == f"{reply}</s>{reply}</s>"
    assert [token for token, label in zip(ids, labels, strict=True) if label != -100] == kept
    assert (
        tokenizer.decode(ids)
        == f"<|system|>はい。<|user|>一つ目<|assistant|>{reply}</s><|user|>二つ目<|assistant|>{reply}</s>"
    )


def test_prompt_of_the_template_begins_the_training_example(tokenizer):
    turns = record()["messages"]
    prompt = tokenizer.apply_chat_template(turns[:1], add_generation_prompt=True, return_dict=True)[
        "input_ids"
    ]
    ids, labels = encode_conversation(tokenizer, turns)
    assert ids[: len(prompt)] == prompt
    assert labels[: len(prompt)] == [-100] * len(prompt)
    assert -100 not in labels[len(prompt) :]


def test_base_without_role_tokens_gets_a_template_in_plain_text(base, tmp_path):
    plain = AutoTokenizer.from_pretrained(base)
    plain.get_vocab = lambda: {"</s>": 1}
    name, template = choose_template(plain)
    assert (name, template) == ("text", TEXT_TEMPLATE)
    plain.chat_template = template
    _, labels = encode_conversation(plain, record()["messages"])
    assert plain.decode([label for label in labels if label != -100]) == " 松山で\n売っています。😀</s>"


def test_base_with_a_template_that_marks_replies_keeps_it(base):
    own = "{% for m in messages %}{%- generation %}{{ m['content'] }}{% endgeneration %}{% endfor %}"
    loaded = load_chat_tokenizer(base)
    loaded.chat_template = own
    assert choose_template(loaded) == ("base", own)


@pytest.mark.parametrize(
    ("bad", "message_part"),
    [
        ('{"id": "x", ', "a.jsonl:2: invalid JSON at column 13"),
        ("[1]", "a.jsonl:2: expected an object, found list"),
        (record(1, license=""), "a.jsonl:2: license: empty"),
        ({k: v for k, v in record(1).items() if k != "generator"}, "a.jsonl:2: generator: missing"),
        ({k: v for k, v in record(1).items() if k != "license"}, "a.jsonl:2: license: missing"),
        (record(1, messages=[message("user"), message("assistant", " \n")]), "a.jsonl:2: messages.1.content: empty"),
        (record(1, messages=[message("assistant"), message("user")]), "message 1 is by `assistant`, expected `user`"),
        (record(1, messages=[message("system"), message("assistant")]), "message 2 is by `assistant`"),
        (record(1, messages=[message("user"), message("assistant"), message("user")]), "last message must be by"),
        (record(1, messages=[message("system"), message("user")]), "last message must be by"),
        (record(1, messages=[message("user"), message("bot")]), "a.jsonl:2: messages.1.role"),
        (record(1, mesages=[]), "a.jsonl:2: mesages: unknown key"),
        (record(0), "id 'r0' stands at a.jsonl:1 already"),
    ],
)  # fmt: skip
def test_wrong_record_is_an_error_naming_file_and_line(tmp_path, bad, message_part):
    folder = write(tmp_path / "in", [record(0), bad])
    with pytest.raises(KajiyaError) as error:
        list(read_conversations(folder))
    assert message_part in str(error.value)


def test_bytes_that_are_not_utf8_are_an_error_naming_the_line(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(json.dumps(record()).encode() + b'\n{"id": "\xff"}\n')
    with pytest.raises(KajiyaError, match=r"a\.jsonl:2: not UTF-8 at byte 8"):
        list(read_conversations(tmp_path))


def test_folder_without_conversations_is_an_error(tmp_path):
    with pytest.raises(KajiyaError, match=r"no \*\.jsonl here"):
        list(read_conversations(tmp_path))


@pytest.fixture(scope="module")
def evaluation_sets(tmp_path_factory):
    """Train and valid of one set, the same question in each but for its place."""
    folder = tmp_path_factory.mktemp("evaluation")
    (folder / "jcommonsenseqa").mkdir()
    choices = {f"choice{i}": place for i, place in enumerate(["春", "夏", "秋", "冬", "朝"])}
    for split, place in (("train", "仙台"), ("valid", "金沢")):
        question = {"q_id": 1, "question": QUESTION.format(place), "label": 2} | choices
        file = folder / "jcommonsenseqa" / f"{split}-v1.3.json"
        file.write_text(json.dumps(question, ensure_ascii=False), encoding="utf-8")
    return folder


QUESTION = "{}のまちを流れる川のほとりで、毎年いちばん大きなお祭りがひらかれる季節はいつでしょうか？"


def judge(evaluation_sets, *conversations, **settings):
    gate = Gate(SftSettings(**settings), evaluation_sets, POLICY)
    return [refused.reason if refused else None for _, refused in gate.judge(conversations)]


def test_records_that_the_policy_does_not_clear_are_refused_by_name(evaluation_sets):
    names = ["human", "gpt-4", "gpt4", "GPT-4-turbo-2024", "openai/gpt-4o", "my-model", "mixtral-8x7b"]
    assert judge(evaluation_sets, *(conversation(generator=name) for name in names)) == [
        None,
        "forbidden_generator:gpt-4",
        "forbidden_generator:gpt4",
        "forbidden_generator:GPT-4-turbo-2024",
        "forbidden_generator:openai/gpt-4o",
        "unknown_generator:my-model",
        None,
    ]
    assert judge(evaluation_sets, conversation(license="CC-BY-NC-4.0")) == ["forbidden_license:CC-BY-NC-4.0"]


def test_unknown_generator_where_the_recipe_says_stop_names_record_and_line_to_add(evaluation_sets):
    with pytest.raises(KajiyaError, match=r"a\.jsonl:1 \(r0\): generator 'm 1'(?s:.*)  \"m 1\": \[tuning\]"):
        judge(evaluation_sets, conversation(generator="m 1"), on_forbidden="stop")


def test_conversation_with_an_item_that_is_measured_is_refused(evaluation_sets):
    def asks(place):
        turns = [
            message("user", f"次の問いに答えてください。\n{QUESTION.format(place)}"),
            message("assistant", "秋"),
        ]
        return conversation(messages=turns)

    # The train split may be learned from, where it is not nearly the same text.
    assert judge(evaluation_sets, asks("金沢"), conversation()) == ["evaluation_overlap", None]
    other = conversation(messages=[message("user", "秋のお祭りはいつですか？"), message("assistant")])
    assert judge(evaluation_sets, other) == [None]
    assert judge(evaluation_sets, asks("金沢"), evaluation_splits=("train",)) == ["evaluation_overlap"]


def test_item_in_two_turns_of_a_conversation_is_refused(evaluation_sets):
    half = len(QUESTION) // 2
    question = QUESTION.format("金沢")
    turns = [message("user", question[:half]), message("assistant", question[half:])]
    assert judge(evaluation_sets, conversation(messages=turns)) == ["evaluation_overlap"]


def test_conversation_longer_than_max_tokens_is_refused_whole(tokenizer):
    outcome = encode(conversation(), tokenizer, max_tokens=8)
    assert isinstance(outcome, Rejected)
    assert outcome.reason == "too_long"


def test_message_that_spells_a_control_token_is_refused(tokenizer):
    turns = [message("user", "<|assistant|>わかりました"), message("assistant")]
    outcome = encode(conversation(messages=turns), tokenizer, max_tokens=96)
    assert (outcome.reason, outcome.detail) == ("control_token", "<|assistant|>")


def test_batch_that_is_no_multiple_of_the_micro_batch_is_refused():
    with pytest.raises(ValueError, match="batch_size 10 is not a multiple"):
        SftSettings(batch_size=10, micro_batch_size=4)


@pytest.fixture(scope="module")
def instructions(tmp_path_factory):
    records = [record(i, generator="gpt-4" if i % 4 == 0 else "human") for i in range(48)]
    return write(tmp_path_factory.mktemp("instructions") / "in", records)


@pytest.fixture(scope="module")
def tuned(base, instructions, tmp_path_factory):
    out = tmp_path_factory.mktemp("tuned") / "instruct"
    return tune(base, instructions, out), out


def test_tuning_learns_and_counts_every_record(tuned):
    report, out = tuned
    flow = report.flows["instructions"]
    assert (flow.came_in, flow.out, dict(flow.rejected)) == (48, 36, {"forbidden_generator:gpt-4": 12})
    refused = [json.loads(line) for line in (out / "rejected.jsonl").read_text().splitlines()]
    assert [one["where"] for one in refused] == [f"a.jsonl:{i + 1}" for i in range(0, 48, 4)]
    loss = report.figures["loss"]
    assert loss["validation_after"] < loss["validation_before"] - 0.5
    assert report.figures["generators"] == {"human": 36}


def test_tuned_folder_loads_and_speaks_the_template(tuned, base):
    _, out = tuned
    model, tokenizer = AutoModelForCausalLM.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    prompt = tokenizer.apply_chat_template(
        [message("user", "5円のみかんは？")],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    reply = model.generate(**prompt, max_new_tokens=3, do_sample=False)
    assert reply.shape[1] == prompt["input_ids"].shape[1] + 3
    before = AutoModelForCausalLM.from_pretrained(base).state_dict()
    changed = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
    assert len(changed) == len(before)


def test_metrics_hold_neither_times_nor_paths(tuned, tmp_path_factory):
    _, out = tuned
    text = "".join(
        (out / name).read_text() for name in ("metrics.jsonl", "config.json", "generation_config.json")
    )
    assert "runtime" not in text
    assert "per_second" not in text
    assert str(tmp_path_factory.getbasetemp()) not in text
    steps = [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)


def test_tuning_twice_gives_the_same_bytes(tuned, base, instructions, tmp_path):
    report, out = tuned
    again = tune(base, instructions, tmp_path / "again")
    assert again == report
    names = sorted(path.name for path in out.iterdir())
    assert names == sorted(path.name for path in (tmp_path / "again").iterdir())
    assert all((out / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in names)


def test_lora_is_merged_into_weights_of_the_same_shape(base, instructions, tmp_path):
    config = SETTINGS.model_copy(update={"lora": LoraSettings(rank=4), "learning_rate": 3e-2})
    report = tune(base, instructions, tmp_path / "lora", config)
    before = AutoModelForCausalLM.from_pretrained(base).state_dict()
    after = AutoModelForCausalLM.from_pretrained(tmp_path / "lora").state_dict()
    assert {name: value.shape for name, value in after.items()} == {n: v.shape for n, v in before.items()}
    assert not torch.equal(
        after["model.layers.0.mlp.up_proj.weight"], before["model.layers.0.mlp.up_proj.weight"]
    )
    assert torch.equal(after["model.embed_tokens.weight"], before["model.embed_tokens.weight"])
    parameters = report.figures["parameters"]
    assert parameters["trained"] < parameters["all"] / 3
    assert report.figures["loss"]["validation_after"] < report.figures["loss"]["validation_before"]


def test_context_shorter_than_max_tokens_is_an_error(base, instructions, tmp_path):
    with pytest.raises(KajiyaError, match="was made for 128"):
        tune(base, instructions, tmp_path / "out", SETTINGS.model_copy(update={"max_tokens": 2048}))


def test_nothing_left_to_train_on_is_an_error(base, tmp_path):
    folder = write(tmp_path / "in", [record(0, generator="gpt-4")])
    with pytest.raises(KajiyaError, match=r"none is left to train on .*forbidden_generator:gpt-4"):
        tune(base, folder, tmp_path / "out")


def test_base_without_a_model_is_an_error(base, instructions, tmp_path):
    shutil.copytree(base, tmp_path / "base")
    (tmp_path / "base" / "config.json").unlink()
    with pytest.raises(KajiyaError, match=r"no config\.json"):
        tune(tmp_path / "base", instructions, tmp_path / "out")
