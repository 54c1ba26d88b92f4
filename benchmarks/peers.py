"""The peers, each with the settings nearest to ours; `PEERS_PYTHON -m benchmarks.peers NAME OPTIONS` is a contender.

Runs in the environment of benchmarks/requirements.txt, which has nothing of kajiya's. Every import stands
in its own peer: one that cannot be loaded fails alone.
"""
# ruff: noqa: PLC0415

import bz2
import io
import itertools
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.contender import Ready, serve

_NGRAM = 5
_PERMUTATIONS = 128
_BANDS, _ROWS = 16, 8


def prepare_hojichar(folder: str) -> Ready:
    from hojichar import Compose, document_filters

    texts = _texts(folder)
    filters = [
        document_filters.DocumentNormalizer(),
        document_filters.MaskPersonalInformation(),
        document_filters.AcceptJapanese(),
        document_filters.DocumentLengthFilter(min_doc_len=100, max_doc_len=10_000_000),
        document_filters.DiscardAdultContentJa(),
        document_filters.DiscardAds(),
        document_filters.DiscardTooManyEndingEllipsis(threshold=0.2),
        document_filters.DiscardRareKuten(max_average_sentence_length=250),
        document_filters.CharRepetitionRatioFilter(threshold=0.33, ngram_size=_NGRAM),
    ]
    clean = Compose(filters)

    def work() -> dict[str, Any]:
        kept = sum(bool(clean(text)) for text in texts)
        return {"documents": len(texts), "rejected": len(texts) - kept}

    names = ", ".join(type(one).__name__ for one in filters)
    return Ready(work, _size(texts), f"texts in memory, nothing read or written; {names}")


def prepare_rensa(folder: str) -> Ready:
    from rensa import RMinHash

    texts = _texts(folder)

    def work() -> dict[str, Any]:
        for text in texts:
            sketch = RMinHash(num_perm=_PERMUTATIONS, seed=1)
            sketch.update(_ngrams(text))
            sketch.digest()
        return {"documents": len(texts), "permutations": _PERMUTATIONS}

    return Ready(work, _size(texts), "RMinHash over all character 5-grams; faster here than its batch calls")


def prepare_datasketch(folder: str) -> Ready:
    import xxhash
    from datasketch import MinHash

    texts = _texts(folder)

    def work() -> dict[str, Any]:
        for text in texts:
            sketch = MinHash(num_perm=_PERMUTATIONS, seed=1, hashfunc=xxhash.xxh32_intdigest)
            sketch.update_batch([ngram.encode() for ngram in set(_ngrams(text))])
        return {"documents": len(texts), "permutations": _PERMUTATIONS}

    return Ready(
        work, _size(texts), "update_batch of the different character 5-grams; xxh32, faster than its sha1"
    )


def prepare_datatrove_signatures(folder: str, out: str) -> Ready:
    from datatrove.pipeline.dedup import MinhashDedupSignature

    _quiet()
    texts = _texts(folder)
    step = MinhashDedupSignature(out, config=_datatrove_config(), language="ja")

    def work(some: list[str] = texts) -> dict[str, Any]:
        for text in some:
            step.get_signature(step.get_shingles(text))
        return {"documents": len(some), "permutations": _BANDS * _ROWS}

    work(texts[:1])
    return Ready(
        work, _size(texts), "16 x 8 hashes over word 5-grams, its Japanese tokenizer (spaCy, Sudachi)"
    )


def prepare_datatrove_dedupe(folder: str, out: str) -> Ready:
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers import ParquetWriter

    _quiet()
    turns = _fresh_folders(Path(out))
    config = _datatrove_config()

    def work() -> dict[str, Any]:
        place = next(turns)
        signatures, buckets, removed = (str(place / name) for name in ("signatures", "buckets", "removed"))
        read = ParquetReader(folder)
        steps = [
            ([read, MinhashDedupSignature(signatures, config=config, language="ja")], 1),
            ([MinhashDedupBuckets(signatures, buckets, config=config)], _BANDS),
            ([MinhashDedupCluster(buckets, removed, config=config)], 1),
            ([read, MinhashDedupFilter(removed), ParquetWriter(str(place / "kept"), compression="zstd")], 1),
        ]
        for number, (pipeline, tasks) in enumerate(steps):
            logs = str(place / f"logs-{number}")
            LocalPipelineExecutor(pipeline, tasks=tasks, workers=1, logging_dir=logs).run()
        return _counts(folder, [pq.read_metadata(one).num_rows for one in place.glob("kept/*.parquet")])

    settings = (
        "its four steps in one process, 16 x 8 hashes over word 5-grams (spaCy, Sudachi), Parquet to Parquet"
    )
    return Ready(work, _size(_texts(folder)), settings)


def prepare_text_dedup(folder: str, out: str) -> Ready:
    """With a column that has a space after every character: its words are then characters."""
    from datasets import load_from_disk
    from text_dedup.minhash import main

    turns = _fresh_folders(Path(out))
    file = next(turns) / "texts.parquet"
    texts = _texts(folder)
    spaced = [" ".join("".join(text.split())) for text in texts]
    pq.write_table(pa.table({"text": texts, "characters": spaced}), file, compression="zstd")
    options = (
        f"--split train --column characters --num_proc 1 --ngram {_NGRAM} --min_length 1 --threshold 0.8"
    )
    hashes = f"--num_perm {_PERMUTATIONS} --b {_BANDS} --r {_ROWS} --hash_func xxh3 --hash_bits 32"

    def work() -> dict[str, Any]:
        place = next(turns)
        paths = ["--path", "parquet", "--data_files", str(file), "--output", str(place / "kept")]
        cache = ["--cache_dir", str(place / "cache")]
        main([*paths, *cache, *options.split(), *hashes.split()], standalone_mode=False)
        return _counts(folder, [len(load_from_disk(str(place / "kept")))])

    return Ready(work, _size(texts), f"minhash {options} {hashes}; writes Arrow, not Parquet")


def prepare_mwparserfromhell(dump: str) -> Ready:
    import mwparserfromhell

    xml = bz2.decompress(Path(dump).read_bytes())

    def work() -> dict[str, Any]:
        texts = [str(mwparserfromhell.parse(page).strip_code()) for page in _articles(xml)]
        return {"documents": len(texts)}

    return Ready(
        work, len(xml), "strip_code of every article (ElementTree.iterparse finds them), nothing written"
    )


def _articles(xml: bytes) -> Iterator[str]:
    """Wikitext of the pages of the main namespace that are no redirects."""
    for _, element in ElementTree.iterparse(io.BytesIO(xml)):  # noqa: S314 - a dump that ships with its checksum
        if not element.tag.endswith("}page"):
            continue
        if element.findtext("{*}ns") == "0" and element.find("{*}redirect") is None:
            yield element.findtext("{*}revision/{*}text") or ""
        element.clear()


def prepare_sentencepiece(folder: str, tokenizer: str) -> Ready:
    from sentencepiece import SentencePieceProcessor

    texts = _texts(folder)
    model = SentencePieceProcessor(model_file=f"{tokenizer}/tokenizer.model")

    def work() -> dict[str, Any]:
        return {"documents": len(texts), "tokens": sum(map(len, model.encode(texts, num_threads=1)))}

    return Ready(work, _size(texts), "encode(texts, num_threads=1), texts in memory, nothing written")


def prepare_hf_tokenizers(folder: str, tokenizer: str) -> Ready:
    from tokenizers import Tokenizer

    texts = _texts(folder)
    model = Tokenizer.from_file(f"{tokenizer}/tokenizer.json")

    def work() -> dict[str, Any]:
        encoded = model.encode_batch_fast(texts, add_special_tokens=False)
        return {"documents": len(texts), "tokens": sum(len(one.ids) for one in encoded)}

    return Ready(work, _size(texts), "encode_batch_fast, texts in memory, nothing written")


def _texts(folder: str) -> list[str]:
    shards = sorted(Path(folder).glob("part-*.parquet"))
    return [text for shard in shards for text in pq.read_table(shard)["text"].to_pylist()]


def _size(texts: list[str]) -> int:
    return sum(len(text.encode()) for text in texts)


def _ngrams(text: str) -> list[str]:
    return [text[i : i + _NGRAM] for i in range(max(1, len(text) - _NGRAM + 1))]


def _counts(folder: str, kept: list[int]) -> dict[str, int]:
    documents = sum(pq.read_metadata(one).num_rows for one in Path(folder).glob("part-*.parquet"))
    return {"documents": documents, "rejected": documents - sum(kept)}


def _fresh_folders(out: Path) -> Iterator[Path]:
    """One folder per turn: both deduplicators skip what they find done."""
    shutil.rmtree(out, ignore_errors=True)
    for turn in itertools.count():
        folder = out / str(turn)
        folder.mkdir(parents=True)
        yield folder


def _datatrove_config() -> Any:
    from datatrove.pipeline.dedup.minhash import MinhashConfig

    return MinhashConfig(n_grams=_NGRAM, num_buckets=_BANDS, hashes_per_bucket=_ROWS)


def _quiet() -> None:
    from loguru import logger

    logger.remove()
    logging.disable(logging.WARNING)


PREPARE: dict[str, Callable[..., Ready]] = {
    "hojichar": prepare_hojichar,
    "rensa": prepare_rensa,
    "datasketch": prepare_datasketch,
    "datatrove_signatures": prepare_datatrove_signatures,
    "datatrove_dedupe": prepare_datatrove_dedupe,
    "text_dedup": prepare_text_dedup,
    "mwparserfromhell": prepare_mwparserfromhell,
    "sentencepiece": prepare_sentencepiece,
    "hf_tokenizers": prepare_hf_tokenizers,
}

if __name__ == "__main__":
    serve(PREPARE)
