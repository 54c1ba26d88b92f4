"""Which works are measured, against whom, and how fast each is wanted (MB per second and core)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.inputs import SOURCE, Inputs


@dataclass(frozen=True)
class Side:
    """A contender still to be started: its name in benchmarks/ours.py or peers.py, and its options."""

    name: str
    options: Mapping[str, Any]
    input: str
    label: str = ""
    """As a peer: what it is called."""
    wanted: float | None = None
    """As a peer: how many times as fast we want to be."""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Work:
    name: str
    title: str
    wanted: float | None
    ours: Side
    peers: tuple[Side, ...] = ()


SLOW, SLOWER = 6, 2
"""Megabytes of the mix that slow peers get."""


def stage(inputs: Inputs, name: str, copies: int = 0) -> Side:
    """A stage on the mix, or on so many copies of it."""
    text = inputs.long(copies, distinct=name == "dedupe") if copies else inputs.mixed()
    small = inputs.mixed(0.5)
    if name == "dedupe":  # reads the folder of all sources
        text, small = text.parent, small.parent
    settings = {"clean": {"rules": "web-ja"}, "dedupe": {"priority": [SOURCE]}}.get(name, {})
    beside = {
        "clean": [inputs.exclusions],
        "decontaminate": [inputs.evaluation_sets],
        "tokenize": [inputs.tokenizer()] if name == "tokenize" else [],
    }.get(name, [])
    options = {
        "stage": name,
        "settings": settings,
        "inputs": [str(text), *map(str, beside)],
        "small": [str(small), *map(str, beside)],
        "out": str(inputs.root / "out" / name),
    }
    return Side("stage", options, inputs.describe(copies))


def _clean(inputs: Inputs) -> Work:
    peer = Side(
        "hojichar", _slice(inputs, SLOW), inputs.describe(megabytes=SLOW), "HojiChar, nearest rules", 15
    )
    return Work("clean", "clean, all rules on, Parquet to Parquet", 40, stage(inputs, "clean"), (peer,))


def _signatures(inputs: Inputs) -> Work:
    title = "MinHash signatures, 128 permutations, character 5-grams"
    ours = Side("signatures", {"folder": str(inputs.mixed())}, inputs.describe())
    slow, slower = inputs.describe(megabytes=SLOW), inputs.describe(megabytes=SLOWER)
    peers = (
        Side("rensa", _slice(inputs, SLOW), slow, "rensa, from text", 20),
        Side("datasketch", _slice(inputs, SLOW), slow, "datasketch", 50),
        Side(
            "datatrove_signatures",
            {**_slice(inputs, SLOWER), "out": str(inputs.root / "out" / "datatrove")},
            slower,
            "datatrove (Japanese words)",
            200,
        ),
    )
    return Work("signatures", title, 200, ours, peers)


def _signatures_of_points(inputs: Inputs) -> Work:
    title = "the same kernel from code points, as it was probed when the goal was set"
    ours = Side("signatures", {"folder": str(inputs.mixed()), "decoded": True}, inputs.describe())
    return Work("signatures-of-points", title, 200, ours)


def _dedupe(inputs: Inputs) -> Work:
    slow, slower = inputs.describe(megabytes=SLOW), inputs.describe(megabytes=SLOWER)
    out = inputs.root / "out"
    peers = (
        Side(
            "text_dedup",
            {**_slice(inputs, SLOW), "out": str(out / "text_dedup")},
            slow,
            "text-dedup, character 5-grams",
            20,
        ),
        Side(
            "datatrove_dedupe",
            {**_slice(inputs, SLOWER), "out": str(out / "datatrove_dedupe")},
            slower,
            "datatrove (Japanese words)",
            20,
        ),
    )
    return Work("dedupe", "dedupe end to end, Parquet to Parquet", 80, stage(inputs, "dedupe"), peers)


def _wikipedia(inputs: Inputs) -> Work:
    dump, language = inputs.dump()
    options = {"dump": str(dump), "language": language, "out": str(inputs.root / "out" / "wikipedia")}
    text = f"{dump.name}, unpacked"
    peer = Side("mwparserfromhell", {"dump": str(dump)}, text, "mwparserfromhell strip_code", 5)
    return Work("wikipedia", "Wikipedia XML to Documents", 15, Side("wikipedia", options, text), (peer,))


def _tokenize(inputs: Inputs) -> Work:
    tokenizer = {"tokenizer": str(inputs.tokenizer())}
    peers = (
        Side(
            "sentencepiece",
            {"folder": str(inputs.mixed()), **tokenizer},
            inputs.describe(),
            "SentencePiece, encoding alone",
            0.9,
        ),
        Side(
            "hf_tokenizers",
            {**_slice(inputs, SLOW), **tokenizer},
            inputs.describe(megabytes=SLOW),
            "HF fast tokenizer, encoding alone",
            4,
        ),
    )
    return Work("tokenize", "tokenize and pack", None, stage(inputs, "tokenize"), peers)


def _decontaminate(inputs: Inputs) -> Work:
    return Work("decontaminate", "decontaminate, Parquet to Parquet", 50, stage(inputs, "decontaminate"))


def _parquet(inputs: Inputs) -> Work:
    options = {"folder": str(inputs.mixed()), "out": str(inputs.root / "out" / "parquet")}
    ours = Side("parquet", options, inputs.describe())
    return Work("parquet", "read and write the same shards, nothing else", None, ours)


def _slice(inputs: Inputs, megabytes: float) -> dict[str, str]:
    return {"folder": str(inputs.mixed(megabytes))}


WORKS: dict[str, Callable[[Inputs], Work]] = {
    "clean": _clean,
    "signatures": _signatures,
    "signatures-of-points": _signatures_of_points,
    "dedupe": _dedupe,
    "wikipedia": _wikipedia,
    "decontaminate": _decontaminate,
    "tokenize": _tokenize,
    "parquet": _parquet,
}
"""On one core; inputs are made when a work is asked for."""

STAGES = ("clean", "dedupe", "decontaminate", "tokenize")
"""What two processes are measured on."""
