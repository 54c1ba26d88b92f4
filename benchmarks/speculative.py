"""Speculative decoding: tokens a second with and without a draft, ours and transformers'.

    python -m benchmarks.speculative            # trains two models on the same text, then measures
    python -m benchmarks.speculative --steps 20 # less of both, to see that it runs

A small draft and a model about forty times its size learn the same text for the same number of steps. Then
both continue texts they have not seen, greedily, on one thread; every text must come out the same on all
sides. Seconds are CPU seconds of the process: on a busy machine wall time says nothing. Rows go to
results/speculative.json: work, unit, ours, peer, peer_value, ratio, cores, input, command, date.
"""

import argparse
import datetime
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.inputs import Inputs, open_inputs
from components.tokenizer import TokenizerSettings
from components.tokenizer import run as train_tokenizer
from kajiya.lm.tokenizer import encode_documents, load_tokenizer
from kajiya.serving.decoding import Sampling, Tally, decode
from kajiya.shards import list_shards, read_shard, write_file
from kajiya.stage import execute

RESULT = Path(__file__).parent / "results" / "speculative.json"
VOCABULARY, CONTEXT, BATCH = 4000, 128, 8
LARGE = {"hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 8, "num_attention_heads": 8}
SMALL = {"hidden_size": 128, "intermediate_size": 352, "num_hidden_layers": 1, "num_attention_heads": 2}

Decode = Callable[[list[int]], list[int]]


@dataclass
class Side:
    name: str
    decode: Decode
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    inputs = open_inputs(options.work, options.megabytes)
    ids = _token_ids(inputs)
    cut = len(ids) * 9 // 10
    large, small = (_model(inputs, shape, ids[:cut], options.steps) for shape in (LARGE, SMALL))
    prompts = _prompts(ids[cut:], options.prompts)
    tally = Tally()
    sides = _sides(large, small, options.tokens, tally)
    said = {side.name: _measure(side, prompts, options.rounds) for side in sides}
    different = [name for name, texts_ in said.items() if texts_ != said["draft"]]
    if different:
        sys.exit(f"the texts differ: {', '.join(different)} from ours with a draft")
    record = _record(options, inputs, (large, small), sides, tally)
    write_file(RESULT, json.dumps(record, ensure_ascii=False, indent=2) + "\n")
    print(json.dumps(record, ensure_ascii=False, indent=2))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=120, help="of training, for each of the two")
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=96, help="continued per prompt")
    parser.add_argument("--rounds", type=int, default=2, help="every side in turn; the best counts")
    parser.add_argument("--megabytes", type=float, default=3.0, help="of text")
    parser.add_argument(
        "--work", type=Path, default=Path("build/bench-speculative"), help="folder for the text"
    )
    return parser.parse_args()


def _token_ids(inputs: Inputs) -> Any:
    """The text as one row of token ids."""
    folder, none = inputs.root / f"tokenizer-{VOCABULARY}", inputs.root / "none"
    if not folder.is_dir():
        none.mkdir(exist_ok=True)
        config = TokenizerSettings(
            vocabulary_size=VOCABULARY,
            sample_characters=1_000_000,
            character_coverage=0.995,
            check_strings=100,
        )
        execute(train_tokenizer, config, [inputs.mixed(), none], folder)
    tokenizer = load_tokenizer(folder)
    shards = list_shards(inputs.mixed())
    texts = [text for shard in shards for text in read_shard(shard)["text"].to_pylist()]
    return np.concatenate(list(encode_documents(tokenizer, texts)))


def _model(inputs: Inputs, shape: dict[str, int], ids: Any, steps: int) -> Any:
    """Trained at the first time, and kept."""
    folder = inputs.root / f"model-{shape['num_hidden_layers']}x{shape['hidden_size']}-{steps}"
    if not folder.is_dir():
        _trained(shape, ids, steps).save_pretrained(folder)
    return LlamaForCausalLM.from_pretrained(folder).eval()


def _trained(shape: dict[str, int], ids: Any, steps: int) -> Any:
    """A model of `shape`, trained on sequences drawn by a fixed seed."""
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=VOCABULARY, max_position_embeddings=512, tie_word_embeddings=True, **shape
    )
    model = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.0)
    random = np.random.default_rng(2)
    for step in range(steps):
        starts = random.integers(0, len(ids) - CONTEXT, BATCH)
        tokens = torch.from_numpy(
            np.stack([ids[start : start + CONTEXT] for start in starts]).astype(np.int64)
        )
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 20) * (1 - step / steps)
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(tokens, labels=tokens, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 50 == 0 or step == steps - 1:
            print(
                f"{_size(model):,} parameters, step {step}: loss {float(loss.detach()):.3f}",
                file=sys.stderr,
                flush=True,
            )
    return model


def _size(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _prompts(ids: Any, count: int) -> list[list[int]]:
    return [ids[at : at + 24].tolist() for at in np.linspace(0, len(ids) - 25, count).astype(int)]


def _sides(large: Any, small: Any, count: int, tally: Tally) -> list[Side]:
    def ours(draft: Any) -> Decode:
        def decoded(prompt: list[int]) -> list[int]:
            own = tally if draft is not None else Tally()
            pair = (large, draft)
            return [t for new in decode(pair, VOCABULARY, prompt, Sampling(), count, own) for t in new]

        return decoded

    def theirs(draft: Any) -> Decode:
        def decoded(prompt: list[int]) -> list[int]:
            ids = torch.tensor([prompt])
            settings = {"max_new_tokens": count, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
            with torch.inference_mode():
                out = large.generate(ids, attention_mask=ids >= 0, assistant_model=draft, **settings)
            tokens: list[int] = out[0, len(prompt) :].tolist()
            return tokens

        return decoded

    return [
        Side("draft", ours(small)),
        Side("no draft", ours(None)),
        Side("transformers' generate", theirs(None)),
        Side("transformers' generate with assistant_model", theirs(small)),
    ]


def _measure(side: Side, prompts: list[list[int]], rounds: int) -> list[list[int]]:
    side.decode(prompts[0][:8])  # what is loaded or compiled at first use
    said: list[list[int]] = []
    times = []
    for _ in range(rounds):
        cpu, wall = time.process_time(), time.monotonic()
        said = [side.decode(prompt) for prompt in prompts]
        times.append((time.process_time() - cpu, time.monotonic() - wall))
    side.cpu_seconds, side.wall_seconds = (min(column) for column in zip(*times, strict=True))
    return said


def _record(
    options: argparse.Namespace, inputs: Inputs, models: tuple[Any, Any], sides: list[Side], tally: Tally
) -> dict[str, Any]:
    count = options.prompts * options.tokens
    ours, *peers = sides
    sizes = " and ".join(f"{_size(model) / 1e6:.1f} M" for model in models)
    common = {
        "work": "greedy decoding with a draft",
        "unit": "tokens/CPU-second",
        "cores": 1,
        "input": f"{options.prompts} texts of 24 tokens, {options.tokens} more each; {sizes} parameters, fp32, "
        f"{options.steps} steps on {inputs.describe()}",
        "command": f"python -m benchmarks.speculative {' '.join(sys.argv[1:])}".rstrip(),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%MZ"),
    }
    rows = [
        {
            **common,
            "ours": round(count / ours.cpu_seconds, 1),
            "peer": peer.name,
            "peer_value": round(count / peer.cpu_seconds, 1),
            "ratio": round(peer.cpu_seconds / ours.cpu_seconds, 2),
        }
        for peer in peers
    ]
    return {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "torch": torch.__version__,
            "load_average": round(os.getloadavg()[0], 1),
        },
        "acceptance": {
            "guessed": tally.guessed,
            "accepted": tally.accepted,
            "rate": round(tally.accepted / max(1, tally.guessed), 3),
            "tokens_per_pass": round((tally.accepted + tally.passes) / max(1, tally.passes), 2),
        },
        "wall_seconds": {side.name: round(side.wall_seconds, 2) for side in sides},
        "rows": rows,
    }


if __name__ == "__main__":
    main()
