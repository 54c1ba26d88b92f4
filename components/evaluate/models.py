"""The model under test, as the harness drives it."""

import logging
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lm_eval.models.huggingface import HFLM
from transformers import AutoModelForCausalLM, AutoTokenizer

from kajiya.errors import KajiyaError
from kajiya.lm.model import load_model, read_config

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

    from components.evaluate import EvaluateSettings

Encoded = tuple[tuple[str, str], list[int], list[int]]
"""(context, choice), tokens given, tokens scored."""


class SharedPrefixModel(HFLM):
    """Scores choices from the last token that all choices of an item share.

    Japanese has no space at which a prompt could end: tokens merge across the border of prompt and
    choice, differently for each choice, and a split by length drops or repeats characters. Scoring
    log P(end of prompt + choice | tokens that every choice leaves as they are) is exact for all.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.truncated: dict[str, set[int]] = defaultdict(set)
        """Items whose prompt was cut from the left to fit the model's context, by task."""

    def loglikelihood(
        self, requests: "list[Instance]", disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        encoded = self.encode_choices([request.args for request in requests])
        for request, (_, given, scored) in zip(requests, encoded, strict=True):
            if len(given) + len(scored) > self.max_length + 1:
                self._count_truncated(request)
        return self._loglikelihood_tokens(encoded, disable_tqdm=disable_tqdm)

    def generate_until(self, requests: "list[Instance]", disable_tqdm: bool = False) -> list[str]:
        for request in requests:
            prompt, options = request.args
            if len(self.tok_encode(prompt)) > self.max_length - options["max_gen_toks"]:
                self._count_truncated(request)
        return super().generate_until(requests, disable_tqdm=disable_tqdm)

    def encode_choices(self, pairs: list[tuple[str, str]]) -> list[Encoded]:
        """Tokens of each (context, choice), split where all choices of one context still agree."""
        contexts = {context: self.tok_encode(context) for context in {pair[0] for pair in pairs}}
        wholes = [self.tok_encode(context + choice) for context, choice in pairs]
        borders: dict[str, int] = {context: len(tokens) for context, tokens in contexts.items()}
        for (context, _), whole in zip(pairs, wholes, strict=True):
            borders[context] = min(borders[context], _common_length(contexts[context], whole))
        encoded = []
        for (context, choice), whole in zip(pairs, wholes, strict=True):
            given, scored = whole[: borders[context]], whole[borders[context] :]
            if not scored or len(scored) > self.max_length:
                raise KajiyaError(
                    f"evaluate: the choice {choice!r} is {len(scored)} tokens long; it must be 1 to"
                    f" {self.max_length}. Mend or remove the item."
                )
            encoded.append(((context, choice), given or [self.prefix_token_id], scored))
        return encoded

    def _count_truncated(self, request: "Instance") -> None:
        self.truncated[request.task_name].add(request.doc_id)


def harness_version() -> str:
    return f"lm-eval {version('lm_eval')}"


def trained_model(folder: Path, config: "EvaluateSettings") -> SharedPrefixModel:
    dtype = config.dtype if config.dtype == "auto" else getattr(torch, config.dtype)
    return _wrap(load_model(folder, dtype), folder, config)


def untrained_model(folder: Path, config: "EvaluateSettings") -> SharedPrefixModel:
    """A model of the same shape with the weights it would begin training with."""
    torch.manual_seed(config.seed)
    shape = read_config(folder)
    dtype = shape.dtype if config.dtype == "auto" else getattr(torch, config.dtype)
    return _wrap(AutoModelForCausalLM.from_config(shape, dtype=dtype), folder, config)


def _wrap(model: Any, folder: Path, config: "EvaluateSettings") -> SharedPrefixModel:
    if torch.accelerator.is_available():
        model = model.to(torch.accelerator.current_accelerator())
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    # It warns of every single prompt that it cuts; we count them.
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    # A softmax in bfloat16 gives likelihoods in steps of 1/32 and more: choices tie that are not equal.
    return SharedPrefixModel(
        pretrained=model, tokenizer=tokenizer, batch_size=config.batch_size, softmax_dtype=torch.float32
    )


def _common_length(left: list[int], right: list[int]) -> int:
    for index, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return index
    return min(len(left), len(right))
