"""The tokenizer of a model: SentencePiece trains it, its fast HF form encodes everywhere.

One form encodes the corpus, the conversations and the prompts of users, so training and use cannot
drift apart; `differences` proves that it equals the SentencePiece model it was built from. No import
of transformers here: it would cost every worker process five seconds.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sentencepiece import SentencePieceProcessor
from sentencepiece.sentencepiece_model_pb2 import ModelProto  # type: ignore[attr-defined]
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from kajiya.errors import KajiyaError
from kajiya.shards import write_file

UNKNOWN, END_OF_SEQUENCE, PADDING = "<unk>", "</s>", "<pad>"

# Who speaks in a conversation; reserved from the start, so that tuning adds no untrained pieces.
ROLE_TOKENS = {role: f"<|{role}|>" for role in ("system", "user", "assistant")}

NEWLINE = "\n"

# A piece never reaches past a newline or a 。: Viterbi then runs over short segments, and rounding
# of long sums (float32 in SentencePiece, float64 in HF) cannot make the two disagree.
SEGMENT_PATTERN = r"[^。\n]*。|\n|[^。\n]+"
SEGMENT = re.compile(SEGMENT_PATTERN)

# Numbers of sentencepiece.proto: the generated classes carry no types.
_UNIGRAM = 1
NORMAL, _USER_DEFINED = 1, 4

TOKENIZER_FILE, _CONFIG = "tokenizer.json", "tokenizer_config.json"

# What may belong to a tokenizer in a Hugging Face folder.
_FILES = (
    TOKENIZER_FILE,
    _CONFIG,
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
)

# Texts handed to the encoder at once: enough for its threads, little enough for memory.
_BATCH = 1000

# HF matches every piece of the vocabulary in plain text, SentencePiece only those learnt: with this
# score a literal "</s>" or "<0x0A>" on a web page stays a row of letters in both.
_NEVER_CHOSEN = -1e6


def fast_tokenizer(model: bytes) -> Tokenizer:
    """The HF form of a SentencePiece unigram model trained by the stage `tokenizer`.

    transformers' own conversion reads a unigram model as BPE without a word (9,910 of 10,000 strings
    then differ), hence the explicit one. Document border and start are one token, as in GPT-2: what
    follows the end of a document is the start of the next.
    """
    proto = ModelProto.FromString(model)
    _require_convertible(proto)
    vocabulary = [(p.piece, p.score if p.type == NORMAL else _NEVER_CHOSEN) for p in proto.pieces]
    backend = Tokenizer(models.Unigram(vocabulary, unk_id=proto.trainer_spec.unk_id, byte_fallback=True))
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(SEGMENT_PATTERN), behavior="isolated")
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    backend.add_special_tokens([UNKNOWN, END_OF_SEQUENCE, PADDING, *ROLE_TOKENS.values()])
    return backend


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the HF files, under the class name that every transformers since version 4 can load."""
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": UNKNOWN,
        "bos_token": END_OF_SEQUENCE,
        "eos_token": END_OF_SEQUENCE,
        "pad_token": PADDING,
        "additional_special_tokens": list(ROLE_TOKENS.values()),
        "clean_up_tokenization_spaces": False,
    }
    write_file(folder / TOKENIZER_FILE, tokenizer.to_str(pretty=True))
    write_file(folder / _CONFIG, json.dumps(config, ensure_ascii=False, indent=2, sort_keys=True) + "\n")


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copy the tokenizer's files of a model or tokenizer folder, byte for byte."""
    for name in _FILES:
        if (source / name).is_file():
            write_file(target / name, (source / name).read_bytes())


def load_tokenizer(folder: Path) -> Tokenizer:
    """The fast tokenizer of a tokenizer or model folder. Raises KajiyaError where there is none."""
    path = folder / TOKENIZER_FILE
    if not path.is_file():
        raise KajiyaError(
            f"{folder}: no tokenizer.json, the fast form every stage reads. Convert the tokenizer with "
            "transformers (`AutoTokenizer.from_pretrained(...).save_pretrained(...)`) and check its encodings."
        )
    try:
        return Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # the Rust side raises no narrower class
        raise KajiyaError(f"{path}: not a tokenizer that this version reads: {error}") from error


def end_of_sequence(tokenizer: Tokenizer, folder: Path) -> int:
    """Id of the token that ends a document, as named in the folder's tokenizer_config.json."""
    path = folder / _CONFIG
    try:
        token = json.loads(path.read_bytes()).get("eos_token")
    except (FileNotFoundError, json.JSONDecodeError, AttributeError) as error:
        raise KajiyaError(f"{path}: not readable ({error}). It must name the eos_token.") from None
    content = token["content"] if isinstance(token, dict) else token
    number = tokenizer.token_to_id(content) if content else None
    if number is None:
        raise KajiyaError(
            f"{path}: no eos_token of the vocabulary. Documents need one between them: name it there."
        )
    return int(number)


def vocabulary_size(tokenizer: Tokenizer) -> int:
    """Rows an embedding needs: the highest id + 1, holes included."""
    return int(max(tokenizer.get_vocab().values())) + 1


def encode_documents(tokenizer: Tokenizer, texts: Sequence[str]) -> Iterator[NDArray[np.int64]]:
    """Token ids of each text, without special tokens: a literal "</s>" in a text is only letters."""
    tokenizer.encode_special_tokens = True
    for start in range(0, len(texts), _BATCH):
        for encoding in tokenizer.encode_batch_fast(texts[start : start + _BATCH], add_special_tokens=False):
            yield np.array(encoding.ids, dtype=np.int64)


def differences(
    model: bytes, tokenizer: Tokenizer, texts: Iterable[str]
) -> list[tuple[str, list[int], list[int]]]:
    """(text, ids by SentencePiece, ids by the fast form) of each text that the two encode differently."""
    texts = list(texts)
    expected = SentencePieceProcessor(model_proto=model).encode(texts)
    found = (ids.tolist() for ids in encode_documents(tokenizer, texts))
    return [(text, a, b) for text, a, b in zip(texts, expected, found, strict=True) if a != b]


def _require_convertible(proto: ModelProto) -> None:
    """Raise KajiyaError where the conversion below would not encode identically."""
    trainer, normalizer = proto.trainer_spec, proto.normalizer_spec
    demands = {
        "model_type unigram": trainer.model_type == _UNIGRAM,
        "pieces without user-defined ones": all(piece.type != _USER_DEFINED for piece in proto.pieces),
        "byte_fallback": trainer.byte_fallback,
        "identity normalisation": not normalizer.precompiled_charsmap,
        "no add_dummy_prefix": not normalizer.add_dummy_prefix,
        "no remove_extra_whitespaces": not normalizer.remove_extra_whitespaces,
    }
    missing = [name for name, met in demands.items() if not met]
    if missing:
        raise KajiyaError(
            f"tokenizer.model: cannot be converted exactly, it lacks: {', '.join(missing)}. "
            "Train it with the stage `tokenizer`, or bring a tokenizer.json and set `kind: take`."
        )
