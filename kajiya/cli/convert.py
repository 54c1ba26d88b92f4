"""`kajiya convert`: models of other formats, in and out."""

from pathlib import Path
from typing import Annotated, Literal

import typer

# The paragraph before the examples keeps their lines apart: typer takes the indent off a text that has no other.
convert = typer.Typer(
    no_args_is_help=True,
    help="""Bring a model of another format, or write one.

    No stage of the pipeline: files are named here, and read or written at once.

    Examples:

        kajiya convert llama2c stories260K.bin tok512.bin inputs/stories
        kajiya convert gguf models/smoke/instruct smoke.gguf
    """,
)


@convert.command()
def llama2c(
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
    from kajiya.cli.quiet import hush_libraries

    hush_libraries()
    from kajiya.lm.llama2c import convert_llama2c

    header = convert_llama2c(checkpoint, tokenizer, out)
    typer.echo(
        f"Model: {out} ({header.layers} layers, {header.width} wide, {abs(header.vocabulary)} pieces, "
        f"context {header.context})"
    )


@convert.command()
def gguf(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A folder, or a registered version: kajiya-smoke/3, kajiya-smoke@champion."
        ),
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File to write; it must not exist.")],
    kind: Annotated[
        Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"],
        typer.Option("--type", help="How the weights of the layers are stored."),
    ] = "f16",
) -> None:
    """Write a model as a GGUF file, for llama.cpp and what is built on it.

    A full model of Llama's architecture with its SentencePiece tokenizer, special tokens and chat template. A variant
    in GPTQ or AWQ is refused: convert the model that it was made from, with --type q4_0 or q8_0.

    Examples:

        kajiya convert gguf models/smoke/instruct smoke.gguf
        kajiya convert gguf kajiya-elyza-7b@champion elyza-7b-q4.gguf --type q4_0
    """
    from kajiya.cli.quiet import hush_libraries

    hush_libraries()
    from kajiya.lm.gguf_file import convert_gguf
    from kajiya.serving.models import find_folder, served_name

    written = convert_gguf(find_folder(model), file, kind, served_name(model))
    typer.echo(f"Model: {file} ({written.tensors} tensors, {kind}, {written.bytes / 1e6:.1f} MB)")
    for note in written.notes:
        typer.echo(f"Note: {note}")
