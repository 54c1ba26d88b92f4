"""The model that a training goes on from: the base's weights, with rows for the pieces its tokenizer got."""

import sys
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import embedding_bag

from kajiya.errors import KajiyaError
from kajiya.lm.extension import Extension, read_extension
from kajiya.lm.model import load_model, read_config, stored_dtype


def load_base(base: Path, tokenizer: Path, dtype: torch.dtype | None = None) -> Any:
    """The base's model; where `tokenizer` extends the base's, its embeddings are extended alike.

    tokenizer: folder of the recipe's tokenizer, with or without extension.json. dtype: None keeps what the weights are
    stored in, so that fp32 masters begin where the base ended. Dropout that the base's config has is turned off.
    """
    config = read_config(base)
    for key in turn_off_dropout(config):
        print(f"pretrain: {key} of {base}/config.json is set to 0", file=sys.stderr, flush=True)
    model = load_model(base, dtype or stored_dtype(base), config)
    extension = read_extension(tokenizer)
    if extension is not None:
        rows = model.get_input_embeddings().weight.shape[0]
        if rows < extension.base_pieces:
            raise KajiyaError(
                f"{base}: {rows} embeddings, but {tokenizer}/extension.json extends a tokenizer of "
                f"{extension.base_pieces} pieces. It was made for another base: run the stage `tokenizer` again."
            )
        extend_embeddings(model, extension)
    return model


def turn_off_dropout(config: Any) -> list[str]:
    """Set every dropout of a transformers config to 0. Returns the keys that had another value.

    It would draw random numbers that no checkpoint keeps, and one pass over the data needs no regularisation.
    """
    keys = [
        key
        for key, value in vars(config).items()
        if "drop" in key and isinstance(value, int | float) and not isinstance(value, bool) and value
    ]
    for key in keys:
        setattr(config, key, 0.0)
    return keys


def extend_embeddings(model: Any, extension: Extension) -> None:
    """Give each new piece the mean of its old pieces' rows, at the input and at the output.

    The model then begins near what it did with the old spelling, and old rows stay bit for bit. Rows
    that only filled up the base's embeddings (padding) are used first; the count never falls.
    """
    rows = model.get_input_embeddings().weight.shape[0]
    if extension.vocabulary_size > rows:
        with torch.random.fork_rng(devices=[]):  # the random rows are overwritten
            model.resize_token_embeddings(extension.vocabulary_size, mean_resizing=False)
    tables = [model.get_input_embeddings().weight]
    output = model.get_output_embeddings()
    if output is not None and output.weight is not tables[0]:
        tables.append(output.weight)
    ids = torch.tensor([number for row in extension.made_of for number in row])
    lengths = torch.tensor([len(row) for row in extension.made_of])
    new = slice(extension.base_pieces, extension.vocabulary_size)
    with torch.no_grad():
        for table in tables:
            old = table[: extension.base_pieces].float()
            means = embedding_bag(ids, old, torch.cumsum(lengths, 0) - lengths, mode="mean")
            table[new] = means.to(table.dtype)
