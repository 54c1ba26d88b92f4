"""Use a model: talk to it, or serve it."""

from typing import Annotated

import typer

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="A folder, or a registered version: kajiya-smoke/3, kajiya-smoke@champion."
    ),
]
Draft = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL", help="A small model with the same tokenizer that guesses ahead (speculative)."
    ),
]


def chat(
    model: Model,
    draft: Draft = None,
    temperature: Annotated[
        float, typer.Option(min=0.0, max=2.0, help="0: always the likeliest token, as in the evaluation.")
    ] = 0.0,
    top_p: Annotated[
        float, typer.Option(min=0.01, max=1.0, help="Draw among the likeliest tokens of this probability.")
    ] = 1.0,
    seed: Annotated[
        int | None, typer.Option(help="Of the draws; without it they differ from time to time.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 512,
) -> None:
    """Talk to a model in the terminal; through a pipe, a line of input is a turn and answers go to stdout.

    It answers greedily unless --temperature is given: the same question gets the same answer, and what you
    see is what the evaluation measured. A model without a chat template continues your text. /help lists the
    commands.

    Examples:

        kajiya chat models/smoke/instruct
        kajiya chat kajiya-smoke@champion --temperature 0.7 --top-p 0.9
        echo "日本で一番高い山は？" | kajiya chat models/smoke/gptq
    """
    from rich.console import Console

    from kajiya.cli.quiet import hush_libraries

    hush_libraries()
    from kajiya.serving.chat import Session
    from kajiya.serving.chat import chat as talk
    from kajiya.serving.decoding import Sampling
    from kajiya.serving.models import open_model

    session = Session(open_model(model, draft), Sampling(temperature, top_p, seed), max_tokens)
    talk(session, Console(highlight=False), Console(stderr=True, highlight=False))


def serve(
    model: Model,
    draft: Draft = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Serve a model with OpenAI's API: /v1/chat/completions, /v1/completions, /v1/models.

    Served by vLLM where it is installed, else by a server of our own that gives one answer at a time. Beyond
    this machine (--host 0.0.0.0) only with a key.

    Environment: KAJIYA_API_KEY, the key that clients must send; KAJIYA_SERVER, vllm or transformers.

    Examples:

        kajiya serve models/smoke/instruct
        kajiya serve kajiya-elyza-70b@champion --draft kajiya-elyza-7b@champion --port 8080
    """
    from kajiya.cli.quiet import hush_libraries

    hush_libraries()
    from kajiya.serving.serve import serve as run

    run(model, draft, host, port, typer.echo)
