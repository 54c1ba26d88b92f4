"""Teach the base model to answer: instruction tuning on conversations, full, LoRA or QLoRA.

BASE is a Hugging Face model folder, INSTRUCTIONS a folder of conversations (*.jsonl). Records whose
license or generator POLICY does not clear for tuning are refused by name, and so are those that hold an
item of EVALUATION_SETS: a model must not have been taught what it is measured on. The loss counts the
assistant's tokens only. OUT is a complete model folder with the chat template in its tokenizer,
`metrics.jsonl`, and `rejected.jsonl`, which names every refused record and why.
"""

from pathlib import Path

from components.sft.examples import IGNORED, Example, encode
from components.sft.settings import SftSettings
from components.sft.train import tune
from kajiya.engine import progress
from kajiya.errors import KajiyaError
from kajiya.lm.conversations import choose_template, load_chat_tokenizer
from kajiya.lm.tuning.gate import Gate, Rejected
from kajiya.lm.tuning.output import reasons, split, terms, write_companions
from kajiya.lm.tuning.records import Conversation, read_conversations
from kajiya.lm.tuning.run import Places, chosen_rows
from kajiya.report import Flow, Report

# Of all that the trainer logs, what is the same on every run.
_METRICS = ("step", "epoch", "loss", "grad_norm", "learning_rate", "mean_token_accuracy")


def run(  # noqa: PLR0913 - two inputs say what may be learnt
    config: SftSettings,
    base: Path,
    instructions: Path,
    evaluation_sets: Path,
    policy: Path,
    *,
    out: Path,
    work: Path,
) -> Report:
    if not (base / "config.json").is_file():
        raise KajiyaError(f"{base}: no config.json, so no model to tune. Run the stage `pretrain` first.")
    tokenizer = load_chat_tokenizer(base)
    template, tokenizer.chat_template = choose_template(tokenizer)
    examples: list[Example] = []
    rejected: list[Rejected] = []
    gate: Gate[Conversation] = Gate("sft", config, evaluation_sets, policy)
    for conversation, refused in gate.judge(progress(read_conversations(instructions), "sft: read")):
        outcome = refused or encode(conversation, tokenizer, config.max_tokens)
        (rejected if isinstance(outcome, Rejected) else examples).append(outcome)
    training, validation = split(examples, config.validation_share, config.seed)
    if not training:
        raise KajiyaError(
            f"{instructions}: of {len(examples) + len(rejected)} conversations none is left to train on "
            f"({dict(reasons(rejected))}). Bring others, or look at the settings of sft."
        )
    result, loss = tune(config, Places("sft", base, out, work), tokenizer, (training, validation))
    metrics = chosen_rows(result.rows, {name: name for name in _METRICS})
    write_companions(base, tokenizer, metrics, rejected, out)
    flow = Flow(came_in=len(examples) + len(rejected), out=len(examples), rejected=reasons(rejected))
    figures = {
        "chat_template": template,
        "conversations": {"train": len(training), "validation": len(validation)},
        "tokens": _count_tokens(training),
        "parameters": result.parameters,
        "steps": result.steps,
        "loss": loss,
        **terms(examples),
    }
    if result.merge_difference is not None:
        figures["merge_difference"] = float(f"{result.merge_difference:.3g}")
    return Report(flows={"instructions": flow}, figures=figures)


def _count_tokens(examples: list[Example]) -> dict[str, int]:
    """Tokens of one epoch, and those of them that count in the loss."""
    learnt = sum(int((one.labels != IGNORED).sum()) for one in examples)
    return {"all": sum(len(one.input_ids) for one in examples), "in_loss": learnt}
