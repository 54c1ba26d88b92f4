"""What stands beside the weights of a tuned model, and what its report counts."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import xxhash
from transformers import PreTrainedTokenizerFast

from kajiya.lm.tokenizer import copy_tokenizer
from kajiya.lm.tuning.gate import Rejected
from kajiya.shards import write_file


class Named(Protocol):
    """A record that was let in."""

    @property
    def id(self) -> str: ...
    @property
    def license(self) -> str: ...
    @property
    def generators(self) -> tuple[str, ...]: ...


N = TypeVar("N", bound=Named)


def split(examples: list[N], share: float, seed: int) -> tuple[list[N], list[N]]:
    """(training, validation), by a hash of the id."""
    validates = [
        xxhash.xxh3_64_intdigest(f"{seed}:sft:{example.id}".encode()) < share * 2**64 for example in examples
    ]
    training = [one for one, chosen in zip(examples, validates, strict=True) if not chosen]
    return training, [one for one, chosen in zip(examples, validates, strict=True) if chosen]


def write_companions(
    base: Path,
    tokenizer: PreTrainedTokenizerFast,
    metrics: list[dict[str, Any]],
    rejected: list[Rejected],
    out: Path,
) -> None:
    """Tokenizer and chat template, metrics.jsonl, and rejected.jsonl, which names every refused record."""
    copy_tokenizer(base, out)
    _forget_inline_template(out / "tokenizer_config.json")
    write_file(out / "chat_template.jinja", str(tokenizer.chat_template))
    write_file(out / "metrics.jsonl", _lines(metrics))
    write_file(out / "rejected.jsonl", _lines([one._asdict() for one in rejected]))


def _forget_inline_template(path: Path) -> None:
    """Older folders keep the template in here, where some programs would find the base's before ours."""
    config = json.loads(path.read_bytes()) if path.is_file() else {}
    if "chat_template" in config:
        del config["chat_template"]
        write_file(path, json.dumps(config, ensure_ascii=False, indent=2) + "\n")


def reasons(rejected: list[Rejected]) -> Counter[str]:
    return Counter(one.reason for one in rejected)


def terms(examples: Iterable[Named]) -> dict[str, dict[str, int]]:
    """Records by licence, and by who wrote in them: one by two counts for each."""
    licenses: Counter[str] = Counter()
    generators: Counter[str] = Counter()
    for example in examples:
        licenses[example.license] += 1
        generators.update(example.generators)
    return {"licenses": dict(sorted(licenses.items())), "generators": dict(sorted(generators.items()))}


def _lines(records: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(record, ensure_ascii=False, sort_keys=True) + "\n" for record in records)
