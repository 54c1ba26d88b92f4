"""A small project whose pipeline has run: data, models, reports and a dvc.lock that fits them."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from kajiya.dvc_lock import file_hash, folder_hash
from kajiya.gate_verdict import FILE, GateVerdict, Limits, MeanFall, TaskFall
from kajiya.records import TOKEN_SPAN
from kajiya.report import Flow, Report
from kajiya.shards import write_dataset

SOURCES = {"wikipedia": "CC-BY-SA-4.0", "diet": "ndl-terms"}
VARIANTS = ("base", "instruct", "gptq", "awq")
PARENTS = {"instruct": "base", "gptq": "instruct", "awq": "instruct"}
RECIPE = """description: test
variants:
  instruct: {of: base, instructions: data/sample/instructions}
  gptq: {of: instruct}
  awq: {of: instruct}
sft: {instruct: {}}
quantize: {gptq: {method: gptq}, awq: {method: awq}}
register: {}
"""


def make_project(root: Path, model: Path) -> Path:
    """Write the project and commit its code. model: an HF model folder that all variants copy."""
    for name in ("kajiya/stage.py", "components/crawl/__init__.py"):
        _write(root / name, f"# {name}\n")
    _write(root / "requirements.lock", "polars==2.1.0\n")
    _write(root / "recipes" / "smoke.yaml", RECIPE)
    _write(root / "params.yaml", "recipes: {}\n")
    _write(root / ".gitignore", "/data/\n/models/\n/registered/\n/ml*\n*.run.json\n.partial/\n")
    _write_corpus(root)
    _write_models(root, model)
    write_lock(root)
    git(root, "init", "-q", "-b", "main")
    commit(root)
    return root


def commit(root: Path) -> None:
    git(root, "add", "-A")
    git(root, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "-m", "state")


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(root), *arguments], check=True, capture_output=True)


def write_lock(root: Path) -> None:
    """Record every stage as DVC would, with the hashes of what lies on the disk now."""
    stages = {name: _locked(root, name, *paths) for name, paths in _stages().items()}
    _write(root / "dvc.lock", yaml.safe_dump({"schema": "2.0", "stages": stages}, sort_keys=False))


def _stages() -> dict[str, tuple[list[str], str]]:
    """Dependencies and output of each stage."""
    corpus, m = "data/decontaminated", "models/smoke"
    stages: dict[str, tuple[list[str], str]] = {"sample": ([], "data/sample")}
    for source in SOURCES:
        raw = [f"data/sample/{source}", "components/crawl", "kajiya/stage.py"]
        stages[f"crawl@{source}"] = (raw, f"data/crawl/{source}")
    stages["decontaminate"] = (["data/crawl", "data/sample/evaluation"], corpus)
    stages["tokenizer@smoke"] = ([corpus], f"{m}/tokenizer")
    stages["tokenize@smoke"] = ([corpus, f"{m}/tokenizer"], f"{m}/tokens")
    stages["pretrain@smoke"] = ([f"{m}/tokens", f"{m}/tokenizer"], f"{m}/base")
    stages["sft@smoke-instruct"] = ([f"{m}/base", "data/sample/instructions"], f"{m}/instruct")
    for method in ("gptq", "awq"):
        stages[f"quantize@smoke-{method}"] = ([f"{m}/instruct", f"{m}/tokens"], f"{m}/{method}")
    for variant in VARIANTS:
        needs = [f"{m}/{variant}", f"{m}/tokens", "data/sample/evaluation"]
        stages[f"evaluate@smoke-{variant}"] = (needs, f"{m}/evaluation/{variant}")
    for variant, parent in PARENTS.items():
        needs = [f"{m}/{variant}", f"{m}/evaluation/{parent}", f"{m}/evaluation/{variant}"]
        stages[f"gate@smoke-{variant}"] = (needs, f"{m}/gates/{variant}")
    return stages


def _locked(root: Path, name: str, dependencies: list[str], output: str) -> dict:
    section = name.partition("@")[0]
    return {
        "cmd": f"python -m components.{section} {output}",
        "deps": [_entry(root, path) for path in dependencies],
        "params": {"params.yaml": {section: {"seed": 1}}},
        "outs": [_entry(root, path) for path in (output, f"{output}.report.json")],
    }


def _entry(root: Path, path: str) -> dict:
    full = root / path
    value = folder_hash(full) if full.is_dir() else file_hash(full)
    return {"path": path, "hash": "md5", "md5": value, "size": 1}


def _write_corpus(root: Path) -> None:
    for part in (*SOURCES, "evaluation", "instructions"):
        _write(root / "data" / "sample" / part / "raw.txt", f"{part} の元の文。\n")
    write_report(root / "data" / "sample", Report())
    documents = []
    for source, license_name in SOURCES.items():
        made = [_document(source, number, license_name) for number in range(3)]
        write_dataset(made, root / "data" / "crawl" / source)
        figures = {"inputs": {f"{source}-raw.bz2": "5e" * 32}}
        write_report(
            root / f"data/crawl/{source}", Report(flows={source: Flow(came_in=3, out=3)}, figures=figures)
        )
        documents += made[1:]
    write_dataset(documents, root / "data" / "decontaminated")
    flow = Flow(came_in=3, out=2, rejected={"evaluation_overlap": 1})
    write_report(root / "data" / "decontaminated", Report(flows=dict.fromkeys(sorted(SOURCES), flow)))


def _document(source: str, number: int, license_name: str) -> dict:
    return {
        "id": f"{source}:{number}",
        "source": source,
        "text": f"{source} の {number} 番目の文書です。",
        "license": license_name,
        "generator": "human",
        "language": "ja",
    }


def _span(number: int, document: str) -> dict:
    source = document.partition(":")[0]
    return {"start": 9 * number, "end": 9 * number + 9, "document_id": document, "source": source}


def _write_models(root: Path, model: Path) -> None:
    models = root / "models" / "smoke"
    for name, figures in (("tokenizer", {"pieces": 300}), ("tokens", {"tokens": 1000})):
        _write(models / name / f"{name}.json", json.dumps(figures))
        write_report(models / name, Report(figures=figures))
    for split, documents in (("train", ["wikipedia:1", "diet:1"]), ("validation", ["wikipedia:2"])):
        spans = [_span(number, document) for number, document in enumerate(documents)]
        pq.write_table(pa.Table.from_pylist(spans, TOKEN_SPAN), models / "tokens" / f"{split}.spans.parquet")
    for index, variant in enumerate(VARIANTS):
        shutil.copytree(model, models / variant)
        figures = {"loss": 2.5 - index / 10, "method": variant}
        if variant == "instruct":
            figures |= {"licenses": {"Apache-2.0": 7}, "generators": {"human": 5, "open-model": 2}}
        write_report(models / variant, Report(figures=figures))
        results = {
            "data_versions": {"jcommonsenseqa": "v1.3"},
            "tasks": {"jcommonsenseqa": {"0": {"acc": 0.41 + index / 100, "n": 300}}},
            "perplexity": {"wikipedia": {"perplexity": 12.5, "tokens": 900}},
        }
        _write(models / "evaluation" / variant / "results.json", json.dumps(results))
        write_report(models / "evaluation" / variant, Report())
    for variant, parent in PARENTS.items():
        write_verdict(models / "gates" / variant, parent)
    for variant in ("base", "instruct"):
        lines = [json.dumps({"step": step, "loss": 9 / step, "learning_rate": 0.01}) for step in range(1, 21)]
        _write(models / variant / "metrics.jsonl", "\n".join(lines) + "\n")


def write_verdict(gate: Path, parent: str) -> None:
    """What the stage `gate` leaves of a variant that passed: one point lost in a task, and one not judged."""
    shown = {"settled": True, "times_the_items": None, "low": -2.5, "high": 0.5, "difference": -1.0}
    fall = {**shown, "before": 42.0, "after": 41.0, "limit": 5.0, "verdict": "held"}
    task = {**fall, "task": "jcommonsenseqa", "shots": 0, "metric": "acc", "items": 300, "chance": 20.0}
    task |= {"p_value": 0.25, "test": "mcnemar"}
    verdict = GateVerdict(
        verdict="passed",
        before=parent,
        after=gate.name,
        kind="quantized",
        limits=Limits(mean_drop_points=2, task_drop_points=5),
        mean=MeanFall(**fall | {"limit": 2.0}, tasks=("jcommonsenseqa",)),
        tasks=(
            TaskFall(**task),
            TaskFall(**task | {"task": "jnli", "verdict": "not judged", "difference": -9.0}),
        ),
        bits_per_byte={},
        warnings=(),
        chat_template=(False, False),
    )
    _write(gate / FILE, verdict.model_dump_json(indent=2) + "\n")
    write_report(gate, Report(figures={"verdict": "passed"}))


def write_report(out: Path, report: Report) -> None:
    _write(out.with_name(out.name + ".report.json"), report.model_dump_json(indent=2) + "\n")


def write_run(out: Path, **record) -> None:
    """What the run that made the output took."""
    report = out.with_name(out.name + ".report.json").read_bytes()
    record["report_sha256"] = hashlib.sha256(report).hexdigest()
    _write(out.with_name(out.name + ".run.json"), json.dumps(record))


def _write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
