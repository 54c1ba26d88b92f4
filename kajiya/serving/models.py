"""A model to use: from a folder or the registry, with its tokenizer, and a draft that fits it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from kajiya.errors import KajiyaError
from kajiya.lm.conversations import load_chat_tokenizer
from kajiya.lm.model import load_model
from kajiya.lm.tokenizer import load_tokenizer, vocabulary_size
from kajiya.registry import fetch_model


@dataclass(frozen=True)
class Served:
    """A loaded model, ready to answer."""

    name: str
    """As clients name it."""
    model: Any
    draft: Any | None
    tokenizer: PreTrainedTokenizerFast
    pieces: Tokenizer
    """The same tokenizer without transformers around it."""

    @property
    def context(self) -> int:
        return int(self.model.config.max_position_embeddings)

    @property
    def vocabulary(self) -> int:
        return vocabulary_size(self.pieces)

    @property
    def has_template(self) -> bool:
        return isinstance(self.tokenizer.chat_template, str)


def find_folder(name: str) -> Path:
    """The folder of a model: a folder, or a registered version (NAME/VERSION, NAME@ALIAS)."""
    path = Path(name)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise KajiyaError(
                f"{name}: no model here (config.json is missing). {_models_below(path)}".rstrip()
            )
        return path
    if path.is_file():
        raise KajiyaError(f"{name}: a file. Name the folder of the model: {path.parent}")
    if "@" in name or name.rpartition("/")[2].isdigit():
        return fetch_model(name)
    raise KajiyaError(
        f"{name}: no such folder, and no registered version (kajiya-smoke/3, kajiya-smoke@champion). "
        "`kajiya status` lists what is registered."
    )


def _models_below(folder: Path) -> str:
    found = sorted(str(path.parent) for path in folder.glob("*/config.json"))
    return f"Below it: {', '.join(found)}." if found else ""


def served_name(name: str) -> str:
    """What clients call it: the folder's name, or the registered version as it was given."""
    return Path(name).resolve().name if Path(name).is_dir() else name.removeprefix("models:/")


def open_model(name: str, draft: str | None = None) -> Served:
    """Load the model and its draft. Raises KajiyaError for what is not there or does not fit."""
    folder = find_folder(name)
    tokenizer = load_chat_tokenizer(folder)
    helper = None
    if draft is not None:
        draft_folder = find_folder(draft)
        require_same_tokenizer(folder, draft_folder)
        helper = _placed(draft_folder)
    return Served(served_name(name), _placed(folder), helper, tokenizer, load_tokenizer(folder))


def require_same_tokenizer(folder: Path, draft: Path) -> None:
    """Raise KajiyaError unless both number their pieces and cut texts alike: the model judges token ids."""
    one, other = (_encoding(path) for path in (folder, draft))
    if one == other:
        return
    pieces, theirs = (dict(load_tokenizer(path).get_vocab()) for path in (folder, draft))
    if pieces == theirs:
        reason = "they have the same pieces, but cut texts into them otherwise"
    else:
        example = min(set(pieces.items()) ^ set(theirs.items()))[0]
        reason = f"{len(pieces)} pieces against {len(theirs)}, and they differ, for example in {example!r}"
    raise KajiyaError(
        f"{draft} cannot be a draft for {folder}: {reason}. A draft needs the tokenizer of the model."
    )


def _encoding(folder: Path) -> dict[str, Any]:
    """What of tokenizer.json decides on the ids of a text; how ids are written out does not."""
    content = json.loads(load_tokenizer(folder).to_str())
    return {key: content[key] for key in ("model", "normalizer", "pre_tokenizer", "added_tokens")}


def _placed(folder: Path) -> Any:
    model = load_model(folder, "auto")
    if torch.accelerator.is_available():
        model = model.to(torch.accelerator.current_accelerator())
    return model.eval()
