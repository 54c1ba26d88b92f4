"""The model under test, as the harness drives it."""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text
from tqdm import tqdm
from transformers import AutoModelForCausalLM, AutoTokenizer

from components.evaluate import borders
from components.evaluate.generation import Limits, continuations, end_tokens, is_plainly_greedy, stop_check
from components.evaluate.likelihood import Ending, check_finite, likelihoods
from components.evaluate.memory import Budget
from components.evaluate.prefix_tree import reads_trees
from kajiya.lm.model import load_model, read_config

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

    from components.evaluate import EvaluateSettings

Encoded = tuple[tuple[str, str], Sequence[int], Sequence[int]]
"""(context, choice), tokens given, tokens scored."""


class SharedPrefixModel(HFLM):
    """Scores choices from the last token that all choices of an item share, and computes what is shared once.

    Japanese has no space at which a prompt could end: tokens merge across the border of prompt and
    choice, differently for each choice, and a split by length drops or repeats characters. Scoring
    log P(end of prompt + choice | tokens that every choice leaves as they are) is exact for all.

    Likelihoods and texts are those of HFLM for the same tokens, but for the rounding of floats.
    """

    def __init__(self, batch_tokens: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._budget = Budget(batch_tokens)
        self.reads_trees = reads_trees(self.model, self.max_length)
        self.truncated: dict[str, set[int]] = defaultdict(set)
        """Items whose prompt was cut from the left to fit the model's context, by task."""
        self.merged: Counter[str] = Counter()
        """Requests that plain lm-eval cuts at another token, by task."""
        self.as_harness: set[str] = set()
        """Tasks to cut as plain lm-eval does."""

    def loglikelihood(
        self, requests: "list[Instance]", disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        def answer(task: str, members: list[int]) -> list[tuple[float, bool]]:
            # One task at a time: the tokens of all would take gigabytes.
            asked = [requests[member] for member in members]
            encoded = self.encode_requests(asked)
            for request, (_, given, scored) in zip(asked, encoded, strict=True):
                if len(given) + len(scored) > self.max_length + 1:
                    self._count_truncated(request)
            found = self._loglikelihood_tokens(encoded, disable_tqdm=disable_tqdm, task=task)
            check_finite(self.model, [nats for nats, _ in found])
            return found

        return _in_groups([request.task_name for request in requests], answer)

    def _loglikelihood_tokens(
        self, requests: Sequence[Encoded], disable_tqdm: bool = False, task: str = "", **more: Any
    ) -> list[tuple[float, bool]]:
        if not self.reads_trees:
            lists = [
                (pair, list(map(int, given)), list(map(int, scored))) for pair, given, scored in requests
            ]
            return super()._loglikelihood_tokens(lists, disable_tqdm=disable_tqdm, **more)
        endings = [
            Ending(np.concatenate([given, scored])[-(self.max_length + 1) :], len(scored))
            for _, given, scored in requests
        ]
        answers = [(0.0, False)] * len(requests)
        with _bar(f"{task} likelihoods", len(requests), disable_tqdm) as bar:
            for found in likelihoods(self.model, endings, self._budget):
                for index, nats, greedy in found:
                    answers[index] = nats, greedy
                bar.update(len(found))
        return answers

    def encode_requests(self, requests: "Sequence[Instance]") -> list[Encoded]:
        """Tokens of each request, cut as its task asks; counts those that plain lm-eval cuts elsewhere."""

        # Item by item: where one with the same prompt is cut must not depend on what else is asked.
        def encode(_: tuple[str, int], members: list[int]) -> list[Encoded]:
            return self._encode_item([requests[member] for member in members])

        return _in_groups([(request.task_name, request.doc_id) for request in requests], encode)

    def _encode_item(self, requests: "Sequence[Instance]") -> list[Encoded]:
        pairs = [request.args for request in requests]
        encode = cache(self.tok_encode)  # both ways of cutting read the same tokens
        shared = borders.shared(encode, pairs)
        plain = borders.as_harness(encode, self._encode_plain, self.prefix_token_id, pairs)
        encoded: list[Encoded] = []
        for request, ours, theirs in zip(requests, shared, plain, strict=True):
            if (ours.given or [self.prefix_token_id], ours.scored) != theirs:
                self.merged[request.task_name] += 1
            split = theirs if request.task_name in self.as_harness else ours
            borders.check(request.args, split, self.max_length)
            given = split.given or [self.prefix_token_id]
            # Lists of Python's integers are nine times as large.
            encoded.append((request.args, np.array(given, np.int32), np.array(split.scored, np.int32)))
        return encoded

    def generate_until(self, requests: "list[Instance]", disable_tqdm: bool = False) -> list[str]:
        prompts = [self.tok_encode(request.args[0]) for request in requests]

        def answer(group: tuple[str, str], members: list[int]) -> list[str]:
            options = normalize_gen_kwargs(requests[members[0]].args[1], self.max_gen_toks)
            room = self.max_length - options["max_gen_toks"]
            for member in members:
                if len(prompts[member]) > room:
                    self._count_truncated(requests[member])
            if room < 1 or not self.reads_trees or not is_plainly_greedy(self.model, options):
                return super(SharedPrefixModel, self).generate_until(
                    [requests[member] for member in members], disable_tqdm=disable_tqdm
                )
            cut = [np.array(prompts[member][-room:]) for member in members]
            return self._generate(group[0], cut, options, disable_tqdm)

        return _in_groups([(request.task_name, repr(request.args[1])) for request in requests], answer)

    def _generate(
        self, task: str, prompts: list[Any], options: dict[str, Any], disable_tqdm: bool
    ) -> list[str]:
        stops = handle_stop_sequences(
            list(options["until"]), eos=self.tok_decode(self.eot_token_id, skip_special_tokens=False)
        )
        limits = Limits(
            options["max_gen_toks"],
            end_tokens(self.model),
            stop_check(self.tokenizer, list(filter(None, stops))),
        )
        texts = [""] * len(prompts)
        with _bar(f"{task} texts", len(prompts), disable_tqdm) as bar:
            for ended in continuations(self.model, prompts, limits, self._budget):
                for index, tokens in ended:
                    texts[index] = postprocess_generated_text(self.tok_decode(tokens), stops, None)
                bar.update(len(ended))
        return texts

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
    if getattr(model.config, "quantization_config", None) is not None:
        # Packed weights are unpacked when the whole model is called for the first time; we call its parts.
        with torch.no_grad():
            model(input_ids=torch.zeros((1, 1), dtype=torch.long, device=model.device))
    # HFLM lets the model's own limit win over the task's, lm-eval's other backends do not; docs/evaluation.md.
    model.generation_config.max_new_tokens = None
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    # It warns of every single prompt that it cuts; we count them.
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    # batch_size and softmax_dtype are of HFLM's own way, for architectures that read no trees. A softmax in
    # bfloat16 gives likelihoods in steps of 1/32 and more: choices tie that are not equal.
    return SharedPrefixModel(
        config.batch_tokens, pretrained=model, tokenizer=tokenizer, batch_size=16, softmax_dtype=torch.float32
    )


def _in_groups(keys: Iterable[Any], answer: Callable[[Any, list[int]], list[Any]]) -> list[Any]:
    """answer(key, where it stands) for each key, its answers put back to where they belong."""
    groups: dict[Any, list[int]] = defaultdict(list)
    for index, key in enumerate(keys):
        groups[key].append(index)
    found = {
        index: one
        for key, members in groups.items()
        for index, one in zip(members, answer(key, members), strict=True)
    }
    return [found[index] for index in range(len(found))]


def _bar(description: str, total: int, disable: bool) -> Any:
    return tqdm(total=total, desc=description, disable=disable, dynamic_ncols=True, mininterval=0.5)
