"""A tiny base model, a few conversations and pairs, and a stage run on them, for the tests of tuning."""

import json
from pathlib import Path

import torch
from tiny_corpus import write_corpus, write_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from components.sft import run
from components.sft.settings import SftSettings
from kajiya.lm.tokenizer import copy_tokenizer
from kajiya.lm.tuning.records import Conversation

POLICY = Path(__file__).parent.parent / "policy.yaml"
SETTINGS = SftSettings(
    max_tokens=96, epochs=3, batch_size=8, micro_batch_size=8, learning_rate=3e-3, precision="fp32",
    validation_share=0.2, threads=1, log_every_steps=2,
)  # fmt: skip


def write_base(folder: Path) -> Path:
    tokenizer = write_tokenizer(folder / "tokenizer", write_corpus(folder / "corpus"))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=440, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, bos_token_id=1, eos_token_id=1, pad_token_id=2,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder / "base")
    copy_tokenizer(tokenizer, folder / "base")
    return folder / "base"


def message(role, content="はい。", **more):
    return {"role": role, "content": content} | more


def record(number=0, **values):
    messages = [
        message("user", f"{number}円のみかんは？"),
        message("assistant", " 松山で\n売っています。😀"),
    ]
    return {"id": f"r{number}", "messages": messages, "license": "CC0-1.0", "generator": "human"} | values


def conversation(**values):
    return Conversation.model_validate(record(**values) | {"where": "a.jsonl:1"})


def pair(number=0, **values):
    return {
        "id": f"p{number}",
        "prompt": [message("user", f"{number}円のみかんは？")],
        "chosen": {"content": "松山で売っています。", "generator": "human"},
        "rejected": {"content": "高松の店は「高い」と言った。", "generator": "human"},
        "license": "CC0-1.0",
        "generator": "human",
    } | values


def write(folder, records):
    folder.mkdir(exist_ok=True)
    lines = [one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in records]
    (folder / "a.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def write_evaluation_sets(folder):
    (folder / "english").mkdir(parents=True, exist_ok=True)
    text = '{"text": "Nothing of this is said in any conversation."}'
    (folder / "english" / "valid-v0.1.json").write_text(text)
    return folder


def places(out):
    """OUT and the folder for unfinished work, made."""
    work = out.parent / f"{out.name}.work"
    out.mkdir(parents=True, exist_ok=True)
    work.mkdir(exist_ok=True)
    return {"out": out, "work": work}


def tune(base, instructions, out, settings=SETTINGS):
    sets = write_evaluation_sets(out.parent / "evaluation")
    report = run(settings, base, instructions, sets, POLICY, **places(out))
    report.check()
    return report


def read_files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
