"""Does replay keep a model from forgetting? `python -m benchmarks.forgetting`, minutes on a CPU.

The published weights of stories260K know English: children's stories. They are continued on Japanese (novels and
Diet speeches) by the real stages tokenizer, tokenize and pretrain, with several shares of English books replayed,
and the forgetting monitor measures what is left: the perplexity of stories that the base itself wrote before, of
English books held out, and how often the model still tells the true end of such a story from the ends of others.

Writes benchmarks/results/forgetting.json, docs/forgetting_curve.svg and the tables of docs/forgetting.md.
"""

import argparse
import datetime
import gzip
import itertools
import json
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.inputs import SHARED
from components.pretrain import PretrainSettings
from components.pretrain import run as run_pretrain
from components.tokenize import TokenizeSettings
from components.tokenize import run as run_tokenize
from components.tokenizer import TokenizerSettings
from components.tokenizer import run as run_tokenizer
from kajiya.line_chart import line_chart
from kajiya.lm.llama2c import convert_llama2c
from kajiya.shards import write_dataset, write_file
from kajiya.stage import execute

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "forgetting.json"
PICTURE, PAGE = ROOT / "docs" / "forgetting_curve.svg", ROOT / "docs" / "forgetting.md"
BEGIN, END = "<!-- tables of benchmarks.forgetting -->", "<!-- end of the tables -->"

SHARES = (0.0, 0.1, 0.25)
CONTEXT, BATCH = 256, 4
STORIES, STORY_TOKENS = 120, 160
# Words of one story: what is asked, and what is its end.
ASKED, ENDING = 40, 15
BOOKS, BOOK_CHARACTERS, PIECE_CHARACTERS = "en_classic_books", 24_000, 1_500
TEXTS = {
    BOOKS: ("en", 20, BOOK_CHARACTERS),
    "aozora": ("ja", 25, 8_000),
    "diet_full_speeches": ("ja", 60, 2_500),
}

# The chart's own colours, on a ground of its own: the picture stands alone in the documentation.
_STYLE = (
    "<style>text{font:12px sans-serif;fill:#222}.grid{stroke:#ddd}</style>"
    '<rect width="100%" height="100%" fill="#fff"/>'
)


def documents() -> Iterator[dict[str, str]]:
    """Pieces of real text; the first of each book are left out, where titles and contents stand."""
    for source, (language, works, end) in TEXTS.items():
        with gzip.open(SHARED / "text" / f"{source}.jsonl.gz", "rt", encoding="utf-8") as lines:
            texts = [json.loads(line)["text"] for line in itertools.islice(lines, works)]
        pieces = (
            text[at : at + PIECE_CHARACTERS]
            for text in texts
            for at in range(PIECE_CHARACTERS, min(len(text), end), PIECE_CHARACTERS)
        )
        about = {"license": "public-domain", "generator": "human", "language": language, "source": source}
        for number, piece in enumerate(piece for piece in pieces if piece.strip()):
            yield {"id": f"{source}:{number}", "text": piece, **about}


def stories(base: Path) -> list[str]:
    """Stories that the base writes: what it can do before it is trained on anything else."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(base), AutoTokenizer.from_pretrained(base)
    begin = torch.tensor([[tokenizer.bos_token_id]])
    torch.manual_seed(1)
    torch.set_num_threads(1)  # two wait for each other on a busy machine
    tokens = model.generate(
        begin, do_sample=True, top_k=0, num_return_sequences=STORIES, max_new_tokens=STORY_TOKENS
    )
    return [tokenizer.decode(one, skip_special_tokens=True).strip() for one in tokens]


def write_sets(folder: Path, written: list[str]) -> Path:
    """Half of the stories as texts, half as questions for their true end."""
    half = len(written) // 2
    texts = [{"text": text} for text in written[:half]]
    words = [split for text in written[half:] if len(split := text.split()) >= ASKED + ENDING]
    ends = [" ".join(one[ASKED : ASKED + ENDING]) for one in words]
    questions = []
    for number, one in enumerate(words):
        choices = [ends[(number + step) % len(ends)] for step in range(4)]
        label = number % 4
        choices[0], choices[label] = choices[label], choices[0]
        questions.append({"question": " ".join(one[:ASKED]), "choices": choices, "label": label})
    for name, items in (("stories", texts), ("story_ends", questions)):
        lines = "".join(json.dumps(item) + "\n" for item in items)
        write_file(folder / name / "valid-v1.0.json", lines)
    return folder


def prepare(folder: Path) -> list[Path]:
    """Base, tokenizer, tokens and evaluation sets; returns the inputs of pretrain."""
    stories260k = SHARED / "stories260k"
    base, corpus, tokenizer, tokens = (folder / name for name in ("base", "corpus", "tokenizer", "tokens"))
    convert_llama2c(stories260k / "stories260K.bin", stories260k / "tok512.bin", base)
    write_dataset(documents(), corpus)
    execute(run_tokenizer, TokenizerSettings(kind="take", check_strings=200), [corpus, base], tokenizer)
    settings = TokenizeSettings(validation_share=0.05, keep_together=(BOOKS,))
    execute(run_tokenize, settings, [corpus, tokenizer], tokens)
    return [tokens, tokenizer, base, write_sets(folder / "sets", stories(base))]


def settings_of(share: float, steps: int, on_bound: str) -> PretrainSettings:
    return PretrainSettings.model_validate(
        {
            "model": {"context": CONTEXT},
            "optimizer": {"peak_learning_rate": 1e-3, "weight_decay": 0.0},
            "schedule": {"warmup_steps": steps // 10},
            "steps": steps,
            "global_batch_sequences": BATCH,
            "micro_batch_sequences": BATCH,
            "precision": "fp32",
            "threads_per_rank": 1,
            "save_every_steps": steps,
            "validate_every_steps": steps,
            "validation_sequences": 32,
            "replay": {"sources": [BOOKS], "share": share},
            "forgetting": {
                "every_steps": steps // 6,
                "sources": [BOOKS, "aozora"],
                "texts": ["stories"],
                "tasks": {"story_ends": {"items": 50}},
                "text_tokens": 5_000,
                "max_perplexity_ratio": 1.25,
                "on_bound": on_bound,
                "raise_factor": 2.0,
                "max_replay_share": SHARES[-1],
            },
        }
    )


def measure(folder: Path, steps: int) -> dict[str, Any]:
    inputs = prepare(folder)
    runs = {f"{share:.0%} replayed": settings_of(share, steps, "alarm") for share in SHARES}
    runs["raised from 5%"] = settings_of(0.05, steps, "raise_replay")
    found = {}
    for number, (name, settings) in enumerate(runs.items()):
        print(f"{name} ...", flush=True)
        report = execute(run_pretrain, settings, inputs, folder / f"model-{number}")
        found[name] = {**report.figures["forgetting"], "replay": report.figures["replay"]}
    return found


MEASURES = {
    "text_perplexity/stories": "perplexity of the base's own stories",
    f"perplexity/{BOOKS}": "perplexity of English books held out",
    "accuracy/story_ends": "accuracy in finding a story's true end (chance 0.25)",
    "perplexity/aozora": "perplexity of Japanese novels held out (what the training is for; per token)",
}


def tables(runs: dict[str, Any]) -> str:
    """Per measure one row a run: the base's value, then by step; at the end the difference."""
    parts = []
    for key, title in MEASURES.items():
        steps = [entry["step"] for entry in next(iter(runs.values()))["steps"]]
        heads = ["base", *(f"step {step}" for step in steps[1:]), "difference"]
        lines = [
            f"{title[0].upper()}{title[1:]}:",
            "",
            f"| run | {' | '.join(heads)} |",
            "|---|" + "--:|" * len(heads),
        ]
        for name, run in runs.items():
            values = [entry["values"][key] for entry in run["steps"]]
            cells = [*(_number(value) for value in values), _number(values[-1] - values[0], "+")]
            lines.append(f"| {name} | {' | '.join(cells)} |")
        parts.append("\n".join(lines))
    raised = runs["raised from 5%"]
    shares = ", ".join(f"{one['share']:g} from step {one['step']}" for one in raised["replay_raised"])
    parts.append(
        f"The last run's share of replay, as the monitor raised it: 0.05 at first, {shares or 'never raised'}."
    )
    return "\n\n".join(parts)


def _number(value: float, sign: str = "") -> str:
    if abs(value) >= 1e6:
        return f"{value:{sign}.1e}"
    return f"{value:{sign}.3g}" if abs(value) < 100 else f"{value:{sign},.0f}"


def draw(runs: dict[str, Any]) -> str:
    key = "text_perplexity/stories"
    series = {
        name: [(one["step"], math.log(one["values"][key])) for one in run["steps"]]
        for name, run in runs.items()
    }
    head, rest = line_chart(series, "steps on Japanese", "nats per token").split(">", 1)
    return f'{head} xmlns="http://www.w3.org/2000/svg">{_STYLE}{rest}\n'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--out", type=Path, default=RESULT, help="another file leaves docs/ as they are")
    options = parser.parse_args()
    if not (SHARED / "stories260k").is_dir():
        parser.error(f"no real data at {SHARED}: set KAJIYA_SHARED_DATA")
    with tempfile.TemporaryDirectory() as name:
        runs = measure(Path(name), options.steps)
    result = {
        "base": "stories260K (karpathy/tinyllamas), 260,032 parameters",
        "trained_on": f"{BATCH * CONTEXT} tokens a step: the share replayed of English books, the rest of "
        "Aozora Bunko and Diet speeches",
        "runs": runs,
        "command": f"python -m benchmarks.forgetting --steps {options.steps}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    write_file(options.out, json.dumps(result, ensure_ascii=False, indent=2) + "\n")
    print(tables(runs))
    if options.out == RESULT:
        write_file(PICTURE, draw(runs))
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        write_file(PAGE, f"{before}{BEGIN}\n\n{tables(runs)}\n\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
