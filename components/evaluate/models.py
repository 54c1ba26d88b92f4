"""The model under test, as the harness drives it."""

import logging
from collections import Counter, defaultdict
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lm_eval.models.huggingface import HFLM
from transformers import AutoModelForCausalLM, AutoTokenizer

from components.evaluate import borders
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
        self.merged: Counter[str] = Counter()
        """Requests that plain lm-eval cuts at another token, by task."""
        self.as_harness: set[str] = set()
        """Tasks to cut as plain lm-eval does."""

    def loglikelihood(
        self, requests: "list[Instance]", disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        encoded = self.encode_requests(requests)
        for request, (_, given, scored) in zip(requests, encoded, strict=True):
            if len(given) + len(scored) > self.max_length + 1:
                self._count_truncated(request)
        return self._loglikelihood_tokens(encoded, disable_tqdm=disable_tqdm)

    def encode_requests(self, requests: "list[Instance]") -> list[Encoded]:
        """Tokens of each request, cut as its task asks; counts those that plain lm-eval cuts elsewhere."""
        pairs = [request.args for request in requests]
        encode = cache(self.tok_encode)  # both ways of cutting read the same tokens
        shared = borders.shared(encode, pairs)
        plain = borders.as_harness(encode, self._encode_plain, self.prefix_token_id, pairs)
        encoded = []
        for request, ours, theirs in zip(requests, shared, plain, strict=True):
            if (ours.given or [self.prefix_token_id], ours.scored) != theirs:
                self.merged[request.task_name] += 1
            split = theirs if request.task_name in self.as_harness else ours
            encoded.append(self._encoded(request.args, split))
        return encoded

    def generate_until(self, requests: "list[Instance]", disable_tqdm: bool = False) -> list[str]:
        for request in requests:
            prompt, options = request.args
            if len(self.tok_encode(prompt)) > self.max_length - options.get(
                "max_gen_toks", self.max_gen_toks
            ):
                self._count_truncated(request)
        return super().generate_until(requests, disable_tqdm=disable_tqdm)

    def encode_choices(self, pairs: list[tuple[str, str]]) -> list[Encoded]:
        """Tokens of each (context, choice), split where all choices of one context still agree."""
        splits = borders.shared(self.tok_encode, pairs)
        return [self._encoded(pair, split) for pair, split in zip(pairs, splits, strict=True)]

    def _encoded(self, pair: tuple[str, str], split: borders.Split) -> Encoded:
        borders.check(pair, split, self.max_length)
        return pair, split.given or [self.prefix_token_id], split.scored

    def _encode_plain(self, text: str) -> list[int]:
        return self.tok_encode(text, add_special_tokens=False)

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
