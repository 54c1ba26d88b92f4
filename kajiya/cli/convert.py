"""Bring a model of another format."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def convert(
    kind: Annotated[Literal["llama2c"], typer.Argument(metavar="llama2c", help="The format of CHECKPOINT.")],
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="Weights: the model.bin of llama2.c, version 0.")
    ],
    tokenizer: Annotated[
        Path, typer.Argument(metavar="TOKENIZER", help="Its tokenizer.bin, of the same vocabulary.")
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder to write; it must not exist or be empty.")
    ],
) -> None:
    """Write a checkpoint of llama2.c as a Hugging Face folder: safetensors, config, tokenizer.

    Greedy decoding gives llama2.c's own text. The folder can be the base of a recipe: name it as `base`
    in params.yaml, and set `tokenizer: {kind: take}` in the recipe.

    Examples:

        kajiya convert llama2c stories260K.bin tok512.bin inputs/stories
    """
    del kind  # there is one
    from kajiya.cli.quiet import hush_libraries

    hush_libraries()
    from kajiya.lm.llama2c import convert_llama2c

    header = convert_llama2c(checkpoint, tokenizer, out)
    typer.echo(
        f"Model: {out} ({header.layers} layers, {header.width} wide, {abs(header.vocabulary)} pieces, "
        f"context {header.context})"
    )
