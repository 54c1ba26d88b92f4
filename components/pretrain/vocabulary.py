"""Pieces and special tokens of a tokenizer folder, read from its JSON: no tokenizer library needed."""

import json
from pathlib import Path
from typing import Any

from kajiya.errors import KajiyaError


def read_pieces(tokenizer: Path) -> dict[str, int]:
    """Every piece of a fast tokenizer and its id, added tokens included."""
    content = _read_json(tokenizer / "tokenizer.json")
    pieces = content["model"]["vocab"]
    # BPE maps piece to id; a Unigram lists [piece, score].
    named = dict(pieces) if isinstance(pieces, dict) else {piece: i for i, (piece, _) in enumerate(pieces)}
    return named | {token["content"]: token["id"] for token in content.get("added_tokens", [])}


def read_special_ids(tokenizer: Path) -> dict[str, int | None]:
    """bos_token_id, eos_token_id and pad_token_id; None for what the tokenizer does not have."""
    config = _read_json(tokenizer / "tokenizer_config.json")
    pieces = read_pieces(tokenizer)
    ids: dict[str, int | None] = {}
    for role in ("bos", "eos", "pad"):
        token = config.get(f"{role}_token")
        text = token["content"] if isinstance(token, dict) else token
        ids[f"{role}_token_id"] = pieces.get(text) if text is not None else None
    return ids


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise KajiyaError(f"{path}: no such file. Run the stage `tokenizer` first.") from None
    except ValueError as error:
        raise KajiyaError(f"{path}: invalid JSON ({error}). Run the stage `tokenizer` again.") from None
    return content
