"""Mix the sources, split off validation, and lay the corpus out as flat arrays of token ids.

CORPUS is the decontaminated corpus, TOKENIZER the folder of the recipe's tokenizer. Each document is
followed by the end-of-sequence token, which is also what stands before the next; where the tokenizer of
a base begins every text with a token of its own (Llama's `<s>`), so does each document. A source given
more weight than it has tokens is repeated, one given less is drawn from; whole documents always.
Validation holds documents of every source, once, and never trains.

OUT holds `train.npy` and `validation.npy`, for each a table of spans that says which document every
token came from, `tokens.json`, and `rejected.parquet` with the documents the mixture had no room for.
"""

from pathlib import Path

from components.tokenize.encode import beginning_of_text, encode_shards, read_index
from components.tokenize.mixture import plan
from components.tokenize.settings import TokenizeSettings
from components.tokenize.write import write_facts, write_rejected, write_split
from kajiya.lm.tokenizer import end_of_sequence, load_tokenizer, vocabulary_size
from kajiya.report import Report
from kajiya.shards import list_shards


def run(config: TokenizeSettings, corpus: Path, tokenizer: Path, *, out: Path, work: Path) -> Report:
    shards = list_shards(corpus)
    loaded = load_tokenizer(tokenizer)
    ending = end_of_sequence(loaded, tokenizer)
    size = vocabulary_size(loaded)
    encode_shards(shards, tokenizer, work, config.seed, (size, beginning_of_text(loaded, ending)))
    index = read_index(work, len(shards))
    mixture = plan(index, config)
    tokens = {
        "train": write_split("train", index, mixture.train, (size, ending), work, out),
        "validation": write_split("validation", index, mixture.validation, (size, ending), work, out),
    }
    write_facts(out, size, ending, tokens)
    write_rejected(out, index, mixture)
    figures = {
        "vocabulary_size": size,
        "tokens": tokens,
        "repetitions": {source: round(value, 4) for source, value in mixture.repetitions.items()},
    }
    return Report(flows=mixture.flows(index), figures=figures)
