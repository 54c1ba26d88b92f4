"""The tokenizer of a base model: taken over, or converted from its SentencePiece model."""

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from kajiya.errors import KajiyaError
from kajiya.lm.export import NORMAL, fast_tokenizer, read_proto, special_tokens
from kajiya.lm.tokenizer import (
    CONFIG_FILE,
    MODEL_FILE,
    TOKENIZER_FILE,
    load_tokenizer,
    save_tokenizer,
)
from kajiya.shards import write_file

# Of a base's tokenizer_config.json: what its user meets, and the fast form does not say.
_KEPT = (
    "bos_token", "eos_token", "unk_token", "pad_token", "additional_special_tokens",
    "model_max_length", "chat_template", "add_bos_token", "add_eos_token",
)  # fmt: skip


def publish(model: bytes, config: dict[str, Any], out: Path) -> None:
    """Write tokenizer.model and its fast form. config: of the base, see `read_config`."""
    named = special_tokens(read_proto(model)) | config
    if "eos_token" not in named:
        raise KajiyaError(
            f"{MODEL_FILE}: no piece ends a sequence (</s>). Name the base's eos_token in {CONFIG_FILE}."
        )
    write_file(out / MODEL_FILE, model)
    begin = bool(named.get("add_bos_token", "bos_token" in named))
    # A tokenizer without a token for the beginning: what ends a document begins the next, as in GPT-2.
    save_tokenizer(fast_tokenizer(model, begin), {"bos_token": named["eos_token"]} | named, out)


def read_model(base: Path) -> bytes:
    """The base's SentencePiece model. Raises KajiyaError where it has none, or its tokenizer.json says otherwise."""
    path = base / MODEL_FILE
    if not path.is_file():
        raise KajiyaError(
            f"{base}: no {MODEL_FILE} (SentencePiece). What the base has cannot be extended: set `tokenizer.kind: take`."
        )
    model = path.read_bytes()
    if (base / TOKENIZER_FILE).is_file():
        _require_same_pieces(model, load_tokenizer(base), base)
    return model


def read_config(base: Path) -> dict[str, Any]:
    """What the base's own files say about special tokens and their use; {} where they say nothing."""
    path = base / CONFIG_FILE
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_bytes())
    except ValueError as error:
        raise KajiyaError(f"{path}: invalid JSON ({error}).") from None
    told = {key: _content(found[key]) for key in _KEPT if found.get(key) is not None}
    if (base / TOKENIZER_FILE).is_file() and "add_bos_token" not in told:
        first = load_tokenizer(base).encode("").tokens[:1]
        told["add_bos_token"] = bool(first) and first[0] == told.get("bos_token")
    return told


def _content(token: Any) -> Any:
    """A special token as text: older files say it as an object."""
    return token["content"] if isinstance(token, dict) and "content" in token else token


def _require_same_pieces(model: bytes, fast: Tokenizer, base: Path) -> None:
    pieces = read_proto(model).pieces
    theirs = {number: piece for piece, number in fast.get_vocab().items()}
    for number, piece in enumerate(pieces):
        if piece.type == NORMAL and theirs.get(number) != piece.piece:
            raise KajiyaError(
                f"{base}: {TOKENIZER_FILE} and {MODEL_FILE} number their pieces differently (id {number} is "
                f"{theirs.get(number)!r} there, {piece.piece!r} here). Bring the files of one tokenizer."
            )
    if added := sorted(set(theirs) - set(range(len(pieces)))):
        raise KajiyaError(
            f"{base}/{TOKENIZER_FILE}: {theirs[added[0]]!r} (id {added[0]}) stands behind the {len(pieces)} pieces of "
            f"{MODEL_FILE}, where the new ones would come. Remove it, or set `tokenizer.kind: take`."
        )
