"""Teach a tuned model which of two answers is the better one: direct preference optimization, full, LoRA or QLoRA.

START is a Hugging Face model folder, the reference at the same time; PAIRS a folder of preference pairs
(*.jsonl). Policy and evaluation sets refuse records as in the stage `sft`, by whoever wrote the prompt or
either answer. OUT has the form of a tuned model: weights, tokenizer with chat template, `metrics.jsonl`,
and `rejected.jsonl`, which names every refused record and why.
"""

from pathlib import Path

from components.dpo.pairs import Pair, encode
from components.dpo.settings import DpoSettings
from components.dpo.train import tune
from kajiya.engine import progress
from kajiya.errors import KajiyaError
from kajiya.lm.conversations import choose_template, load_chat_tokenizer
from kajiya.lm.tuning.gate import Gate, Rejected
from kajiya.lm.tuning.output import reasons, split, terms, write_companions
from kajiya.lm.tuning.records import Preference, read_preferences
from kajiya.lm.tuning.run import Places, chosen_rows
from kajiya.report import Flow, Report

# Of all that the trainer logs, what is the same on every run, under the names of metrics.jsonl.
_METRICS = {name: name for name in ("step", "epoch", "loss", "grad_norm", "learning_rate")} | {
    "rewards/accuracies": "reward_accuracy",
    "rewards/margins": "reward_margin",
    "rewards/chosen": "reward_chosen",
    "rewards/rejected": "reward_rejected",
}


def run(  # noqa: PLR0913 - two inputs say what may be learnt
    config: DpoSettings,
    start: Path,
    pairs: Path,
    evaluation_sets: Path,
    policy: Path,
    *,
    out: Path,
    work: Path,
) -> Report:
    if not (start / "config.json").is_file():
        raise KajiyaError(f"{start}: no config.json, so no model to tune. Run the stage that makes it first.")
    tokenizer = load_chat_tokenizer(start)
    template, tokenizer.chat_template = choose_template(tokenizer)
    taken: list[Pair] = []
    rejected: list[Rejected] = []
    gate: Gate[Preference] = Gate("dpo", config, evaluation_sets, policy)
    for preference, refused in gate.judge(progress(read_preferences(pairs), "dpo: read")):
        outcome = refused or encode(preference, tokenizer, config.max_tokens)
        (rejected if isinstance(outcome, Rejected) else taken).append(outcome)
    training, held_out = split(taken, config.validation_share, config.seed)
    if not training:
        raise KajiyaError(
            f"{pairs}: of {len(taken) + len(rejected)} pairs none is left to train on ({dict(reasons(rejected))}). "
            "Bring others, or look at the settings of dpo."
        )
    result, measured = tune(config, Places("dpo", start, out, work), tokenizer, (training, held_out))
    write_companions(start, tokenizer, chosen_rows(result.rows, _METRICS), rejected, out)
    flow = Flow(came_in=len(taken) + len(rejected), out=len(taken), rejected=reasons(rejected))
    figures = {
        "chat_template": template,
        "pairs": {"train": len(training), "validation": len(held_out)},
        "tokens": {name: sum(len(getattr(one, f"{name}_ids")) for one in training) for name in _PARTS},
        "parameters": result.parameters,
        "steps": result.steps,
        **measured,
        **terms(taken),
    }
    if result.merge_difference is not None:
        figures["merge_difference"] = float(f"{result.merge_difference:.3g}")
    return Report(flows={"pairs": flow}, figures=figures)


_PARTS = ("prompt", "chosen", "rejected")
