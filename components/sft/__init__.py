"""Teach the base model to answer: instruction tuning on conversations, full or LoRA.

BASE is a Hugging Face model folder, INSTRUCTIONS a folder of conversations (*.jsonl). Records whose
license or generator POLICY does not clear for tuning are refused by name, and so are those that hold an
item of EVALUATION_SETS: a model must not have been taught what it is measured on. The loss counts the assistant's tokens only. OUT is a complete model folder with the chat template in its
tokenizer, `metrics.jsonl`, and `rejected.jsonl`, which names every refused record and why.
"""

import json
from collections import Counter
from pathlib import Path

from components.sft.examples import Example, Rejected, encode, split
from components.sft.policy import Gate
from components.sft.settings import SftSettings
from components.sft.train import tune
from kajiya.engine import progress
from kajiya.errors import KajiyaError
from kajiya.lm.conversations import choose_template, load_chat_tokenizer, read_conversations
from kajiya.lm.tokenizer import copy_tokenizer
from kajiya.report import Flow, Report
from kajiya.shards import write_file


def run(
    config: SftSettings, base: Path, instructions: Path, evaluation_sets: Path, policy: Path, *, out: Path
) -> Report:
    if not (base / "config.json").is_file():
        raise KajiyaError(f"{base}: no config.json, so no model to tune. Run the stage `pretrain` first.")
    tokenizer = load_chat_tokenizer(base)
    template, tokenizer.chat_template = choose_template(tokenizer)
    examples: list[Example] = []
    rejected: list[Rejected] = []
    came_in = 0
    gate = Gate(config, evaluation_sets, policy)
    for conversation, refused in gate.judge(progress(read_conversations(instructions), "sft: read")):
        came_in += 1
        outcome = refused or encode(conversation, tokenizer, config.max_tokens)
        (rejected if isinstance(outcome, Rejected) else examples).append(outcome)
    training, validation = split(examples, config.validation_share, config.seed)
    if not training:
        raise KajiyaError(
            f"{instructions}: of {came_in} conversations none is left to train on "
            f"({dict(_reasons(rejected))}). Bring others, or look at the settings of sft."
        )
    result = tune(config, base, tokenizer, (training, validation), out)
    copy_tokenizer(base, out)
    write_file(out / "chat_template.jinja", tokenizer.chat_template)
    write_file(out / "metrics.jsonl", _lines(result.metrics))
    write_file(out / "rejected.jsonl", _lines([one._asdict() for one in rejected]))
    flow = Flow(came_in=came_in, out=len(training) + len(validation), rejected=_reasons(rejected))
    figures = {
        "chat_template": template,
        "conversations": {"train": len(training), "validation": len(validation)},
        "tokens": _count_tokens(training),
        "parameters": {"all": result.parameters, "trained": result.trained_parameters},
        "steps": result.steps,
        "loss": result.loss,
        "generators": dict(sorted(Counter(one.generator for one in examples).items())),
        "licenses": dict(sorted(Counter(one.license for one in examples).items())),
    }
    return Report(flows={"instructions": flow}, figures=figures)


def _reasons(rejected: list[Rejected]) -> Counter[str]:
    return Counter(one.reason for one in rejected)


def _count_tokens(examples: list[Example]) -> dict[str, int]:
    """Tokens of one epoch, and those of them that count in the loss."""
    learnt = sum(label != -100 for one in examples for label in one.labels)
    return {"all": sum(len(one.input_ids) for one in examples), "in_loss": learnt}


def _lines(records: list[dict]) -> str:
    return "".join(json.dumps(record, ensure_ascii=False, sort_keys=True) + "\n" for record in records)
