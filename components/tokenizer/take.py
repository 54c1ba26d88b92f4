"""Take over the tokenizer of a base model, file by file."""

from pathlib import Path

from kajiya.lm.tokenizer import end_of_sequence, load_tokenizer
from kajiya.shards import write_file

_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
)


def take_tokenizer(base: Path, out: Path) -> None:
    """Copy what there is of the tokenizer in `base`, after checking that every stage can use it."""
    end_of_sequence(load_tokenizer(base), base)
    for name in _FILES:
        if (base / name).is_file():
            write_file(out / name, (base / name).read_bytes())
