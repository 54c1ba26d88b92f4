"""A Llama of a few thousand weights that knows English alone, with a SentencePiece tokenizer as Llama 2 has it."""

import io
import json
from pathlib import Path
from typing import Any

from sentencepiece import SentencePieceTrainer

TOWNS = ["Matsuyama", "Bristol", "Leeds", "Boston", "Galway", "Dunedin"]
ENGLISH = [
    f"Visitors to the old {kind} of {town} buy {number} {thing}, and some of them stay there for a week."
    for kind in ("town", "harbour", "market")
    for town in TOWNS
    for thing in ("boxes of oranges", "cups of tea", "loaves of bread")
    for number in (3, 12, 128)
]


def llama_like_tokenizer(pieces: int = 420, **options: Any) -> bytes:
    """Trained as Llama 2's was: BPE, bytes, digits apart, a space before the text, <s> and </s>, no padding."""
    model = io.BytesIO()
    wanted: dict[str, Any] = {
        "model_type": "bpe", "byte_fallback": True, "split_digits": True, "minloglevel": 2,
        "normalization_rule_name": "identity", "remove_extra_whitespaces": False, "add_dummy_prefix": True,
        "allow_whitespace_only_pieces": True, "required_chars": "のは。年{}()=+:;<>/|[]",
    }  # fmt: skip
    SentencePieceTrainer.train(
        sentence_iterator=iter(ENGLISH), model_writer=model, vocab_size=pieces, **wanted | options
    )
    return model.getvalue()


def write_base(folder: Path, **options: Any) -> Path:
    """A folder that says it holds a Llama, with tokenizer.model alone."""
    folder.mkdir(parents=True)
    (folder / "tokenizer.model").write_bytes(llama_like_tokenizer(**options))
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    return folder
