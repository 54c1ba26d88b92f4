"""Hold a variant against the one that it was made from: what lost its abilities stops here.

The last part of OUT names the variant. Both were asked the same items by `evaluate`, so scores are paired item
by item (kajiya.comparison). A drop beyond a limit of the recipe, of the mean over the tasks or of a single one,
ends the run with the table and what can be done; nothing is then published as OUT, and the variant is not
registered. The difference itself decides; its interval says whether so many items can tell. Tasks at which
the model before was no better than chance are shown, not judged; so is perplexity, which hardly moves where
task scores collapse. Limits differ for variants in 4 bits, which shall be the same model, and tuned ones.

OUT holds `gate.json`: verdict, limits, every difference with its interval and p-value. Beside it, also when
the variant failed, lies `OUT.pages/gate.html`, the same for a person in Japanese and English.
"""

import json
from pathlib import Path

from components.gate.decide import conclude, judge_mean, judge_task
from components.gate.measure import comparable, compare_all, measure_mean, measure_tasks, shown_bits
from components.gate.page import page
from components.gate.settings import GateSettings
from components.gate.words import refusal, table
from kajiya.errors import KajiyaError
from kajiya.evaluation_results import load_evaluation
from kajiya.gate_verdict import FILE, GateVerdict, Kind
from kajiya.report import Report
from kajiya.shards import write_file

_REMEDY = "Run the stage that makes it again."


def run(config: GateSettings, model: Path, before: Path, after: Path, *, out: Path, pages: Path) -> Report:
    """model: the variant's folder; before, after: evaluations of the one it was made from, and its own."""
    verdict = judge(config, model, before, after)
    written = verdict.model_dump_json(indent=2) + "\n"
    write_file(pages / FILE, written)
    write_file(pages / "gate.html", page(verdict))
    if verdict.verdict == "stopped":
        raise KajiyaError(refusal(verdict, pages / "gate.html"))
    write_file(out / FILE, written)
    print(f"{verdict.after} against {verdict.before}: {verdict.verdict}\n{table(verdict)}")
    return Report(
        figures={
            "verdict": verdict.verdict,
            "tasks_judged": len(verdict.judged),
            "largest_drop": verdict.largest_drop,
            "mean_difference": verdict.mean.difference if verdict.mean else None,
        }
    )


def judge(config: GateSettings, model: Path, before: Path, after: Path) -> GateVerdict:
    """The verdict; reads the folders and writes nothing."""
    kind = kind_of(model)
    limits = config.limits_of(after.name, kind)
    loaded = load_evaluation(before, before.name), load_evaluation(after, after.name)
    evaluations = comparable(*loaded, kind)
    compared = compare_all(*evaluations, config.seed)
    changes = measure_tasks(compared, evaluations[0], before) if compared else []
    tasks = tuple(judge_task(change, limits) for change in changes)
    found = measure_mean(*evaluations, changes, config.seed)
    mean = judge_mean(*found, limits) if found else None
    return GateVerdict(
        verdict=conclude(tasks, mean, config.unjudged_of(after.name)),
        before=before.name,
        after=after.name,
        kind=kind,
        limits=limits,
        mean=mean,
        tasks=tasks,
        bits_per_byte=shown_bits(*evaluations),
        warnings=compared.warnings if compared else (),
        chat_template=(
            bool(loaded[0].results.get("chat_template")),
            bool(loaded[1].results.get("chat_template")),
        ),
    )


def kind_of(model: Path) -> Kind:
    """By the model's own config: what loads as 4 bits is judged as 4 bits."""
    path = model / "config.json"
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:  # ValueError: no JSON, or no UTF-8
        raise KajiyaError(f"{path}: no config of a model ({error}). {_REMEDY}") from None
    if not isinstance(content, dict):
        raise KajiyaError(
            f"{path}: no config of a model (a JSON {type(content).__name__}, no object). {_REMEDY}"
        )
    return "quantized" if content.get("quantization_config") else "tuned"
