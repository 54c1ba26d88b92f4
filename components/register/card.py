"""The model card, in Japanese and in English, from measured values alone."""

import json
from typing import Any

from components.register.gate import gate_rows
from components.register.settings import RegisterSettings
from kajiya.gate_verdict import GateVerdict
from kajiya.lineage import Lineage, StageRecord

JA = {
    "about": "レシピ `{recipe}` の `{variant}` 版です。kajiya のパイプラインが、下に記すデータから作りました。",
    "parent": "同じレシピの `{parent}` 版から作りました（系譜 `{digest}`）。",
    "license": "重みのライセンス: {license}",
    "no_license": "未定です。公開する前に、下のデータのライセンスを確かめて決めてください。",
    "data": "データ",
    "corpus": "学習に使えるコーパスの内訳です。学習に使われた割合はレシピの `tokenize` が決めます。",
    "corpus_head": ("出典", "ライセンス", "書き手", "言語", "文書数"),
    "flow": "各工程に入り、出た文書の数",
    "flow_head": ("工程", "出典", "入", "出", "落とした理由"),
    "tokenizer": "トークナイザ",
    "training": "学習",
    "made": "`{stage}` の設定",
    "measured": "`{stage}` の測定値",
    "scores": "評価",
    "scores_note": "`untrained` は学習前の同じモデル、数字だけの段は与えた例の数です。",
    "score_head": ("指標", "値"),
    "gate": "元の版との比較",
    "gate_about": "`{parent}` 版と同じ問題で比べた点の差（百点満点、負は低下、括弧内は 95 % 信頼区間）。{verdict}",
    "gate_verdicts": {
        "passed": "許される低下の範囲です。",
        "unjudged": "比べられる能力がなく、判定していません。",
    },
    "gate_head": ("課題", "例の数", "前", "後", "差", "許される低下", "判定"),
    "gate_mean": "判定した課題の平均",
    "gate_rows": {"held": "範囲内", "lost": "超過", "not judged": "対象外（前の版が偶然の水準）"},
    "size": "重みの大きさ: {size:,} バイト",
    "load": "読み込み",
    "limits": "限界",
    "limits_text": "安全性や偏りの評価はしていません。出力には誤りや不適切な内容がありえます。上の点数が測ったもののすべてです。",
    "lineage": "系譜",
}

EN = {
    "about": "Variant `{variant}` of the recipe `{recipe}`, made by the kajiya pipeline from the data below.",
    "parent": "Made from the variant `{parent}` of the same recipe (lineage `{digest}`).",
    "license": "Licence of the weights: {license}",
    "no_license": "none was chosen. Before publishing, choose one that the licences of the data below allow.",
    "data": "Data",
    "corpus": "The corpus that training could draw on; the recipe's `tokenize` decides in what proportions.",
    "corpus_head": ("source", "licence", "written by", "language", "documents"),
    "flow": "Documents into and out of each stage",
    "flow_head": ("stage", "source", "in", "out", "dropped for"),
    "tokenizer": "Tokenizer",
    "training": "Training",
    "made": "Settings of `{stage}`",
    "measured": "Measured by `{stage}`",
    "scores": "Scores",
    "scores_note": "`untrained` is the same model before training; a step that is a bare number is the number of shots.",
    "score_head": ("measure", "value"),
    "gate": "Beside the variant that it was made from",
    "gate_about": "Differences from `{parent}` on the same items, in points of 100; below zero is a loss, 95 % intervals in brackets. {verdict}",
    "gate_verdicts": {
        "passed": "All are within the limits.",
        "unjudged": "There was no ability to compare, so nothing was judged.",
    },
    "gate_head": ("task", "shots", "before", "after", "difference", "allowed drop", "verdict"),
    "gate_mean": "mean of the tasks judged",
    "gate_rows": {"held": "held", "lost": "lost", "not judged": "not judged: at chance before"},
    "size": "Size of the weights: {size:,} bytes",
    "load": "How to load",
    "limits": "Limits",
    "limits_text": "Safety and bias were not evaluated. Output may be wrong or improper. The scores above are all that was measured.",
    "lineage": "Lineage",
}

MAX_VALUE_CHARS = 600

LOADING = """```python
import mlflow
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = mlflow.artifacts.download_artifacts("models:/kajiya-{recipe}/VERSION")
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)
```"""


def model_card(
    lineage: Lineage,
    scores: dict[str, float],
    size: int,
    config: RegisterSettings,
    verdict: GateVerdict | None,
) -> str:
    """Markdown. scores: by path, as in results.json; size: bytes of the weights; verdict: of its gate."""
    title = f"# kajiya-{lineage.recipe} ({lineage.variant})"
    japanese = _part(lineage, scores, size, config.license, JA)
    english = _part(lineage, scores, size, config.license, EN)
    if verdict:
        for part, words in ((japanese, JA), (english, EN)):
            place = part.index(f"### {words['load']}")
            part[place:place] = _gate(verdict, words)
    parts = [
        title,
        "[English below](#english)",
        "## 日本語",
        *_noted(japanese, config.notes_ja),
        "## English",
        *_noted(english, config.notes_en),
    ]
    return "\n\n".join(parts) + "\n"


def _noted(part: list[str], notes: str | None) -> list[str]:
    return [part[0], notes.strip(), *part[1:]] if notes else part


def _part(
    lineage: Lineage, scores: dict[str, float], size: int, license_name: str | None, words: dict[str, Any]
) -> list[str]:
    about = words["about"].format(recipe=lineage.recipe, variant=lineage.variant)
    if lineage.parent:
        about += " " + words["parent"].format(
            parent=lineage.parent.variant, digest=lineage.parent.digest[:12]
        )
    return [
        about,
        words["license"].format(license=license_name or words["no_license"]),
        *_data(lineage, words),
        *_stages(lineage, words),
        f"### {words['scores']}",
        words["scores_note"],
        _table(words["score_head"], [(name, f"{value:.4g}") for name, value in sorted(scores.items())]),
        words["size"].format(size=size),
        f"### {words['load']}",
        LOADING.format(recipe=lineage.recipe),
        f"### {words['limits']}",
        words["limits_text"],
        f"### {words['lineage']}",
        _code(lineage),
    ]


def _data(lineage: Lineage, words: dict[str, Any]) -> list[str]:
    corpus = [(p.source, p.license, p.generator, p.language, f"{p.documents:,}") for p in lineage.corpus]
    flows = []
    for stage in lineage.stages:
        for source, flow in stage.report.flows.items() if stage.report else ():
            reasons = ", ".join(f"{name} {count:,}" for name, count in flow.rejected.most_common())
            flows.append((stage.name, source, f"{flow.came_in:,}", f"{flow.out:,}", reasons))
    return [
        f"### {words['data']}",
        words["corpus"],
        _table(words["corpus_head"], corpus),
        words["flow"],
        _table(words["flow_head"], flows),
    ]


def _stages(lineage: Lineage, words: dict[str, Any]) -> list[str]:
    tokenizer = [stage for stage in lineage.stages if _kind(stage) == "tokenizer"]
    training = [stage for stage in lineage.stages if _kind(stage) in {"pretrain", "sft", "dpo", "quantize"}]
    parts = []
    for heading, stages in (("tokenizer", tokenizer), ("training", training)):
        parts.append(f"### {words[heading]}")
        for stage in stages:
            parts += [words["made"].format(stage=stage.name), _json(stage.parameters)]
            if stage.report:
                parts += [words["measured"].format(stage=stage.name), _json(_short(stage.report.figures))]
    return parts


def _gate(verdict: GateVerdict, words: dict[str, Any]) -> list[str]:
    about = words["gate_about"].format(
        parent=verdict.before, verdict=words["gate_verdicts"].get(verdict.verdict, verdict.verdict)
    )
    return [f"### {words['gate']}", about, _table(words["gate_head"], gate_rows(verdict, words))]


def _code(lineage: Lineage) -> str:
    code = lineage.code
    state = {None: "", True: " (dirty: code.patch)", False: ""}[code.dirty]
    return "\n".join(
        [
            f"- commit: {code.commit or code.problem}{state}",
            f"- lineage: `{lineage.digest()}`",
            f"- data: `{lineage.data_digest()}`",
            f"- Python {lineage.environment.python}, requirements.lock `{lineage.environment.requirements_lock}`",
        ]
    )


def _short(figures: dict[str, Any]) -> dict[str, Any]:
    """Without values that would fill a page, such as one error per layer: the report has them."""
    return {name: value for name, value in figures.items() if len(str(value)) <= MAX_VALUE_CHARS}


def _kind(stage: StageRecord) -> str:
    return stage.name.partition("@")[0]


def _json(value: Any) -> str:
    return (
        "```json\n" + json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True, default=str) + "\n```"
    )


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    escaped = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *escaped]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
