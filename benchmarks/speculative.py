"""Speculative decoding: tokens a second with and without a draft, ours and transformers'.

    python -m benchmarks.speculative             # trains two pairs of models, then measures: about four minutes
    python -m benchmarks.speculative --steps 20 --draft-steps 20   # to see that it runs

A draft and a model about forty times its size learn the same text, once that of the sample world (a few frames of
sentences about a few hundred facts: language as predictable as it gets) and once real text, of which so short a
training leaves both unsure. Then both continue texts they have not seen, greedily, on one thread; every text must
come out the same on all sides. Seconds are CPU seconds of the process: on a busy machine wall time says nothing.
Rows go to results/speculative.json: work, unit, ours, peer, peer_value, ratio, cores, input, command, date.
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
SHORTER = {"sample": 1, "real": 2}

Decode = Callable[[list[int]], list[int]]


@dataclass
class Side:
    name: str
    decode: Decode
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0


def main(argv: list[str] | None = None) -> None:
    options = _options(argv)
    inputs = open_inputs(options.work, options.megabytes)
    results = [_compare(options, inputs, text) for text in options.texts]
    record = {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": len(os.sched_getaffinity(0)),
            "torch": torch.__version__,
            "load_average": round(os.getloadavg()[0], 1),
        },
        "pairs": [pair for pair, _ in results],
        "rows": [row for _, rows in results for row in rows],
    }
    write_file(options.out, json.dumps(record, ensure_ascii=False, indent=2) + "\n")
    print(json.dumps(record, ensure_ascii=False, indent=2))


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speculative",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--texts", nargs="+", choices=list(SHORTER), default=list(SHORTER))
    parser.add_argument(
        "--steps", type=int, default=120, help="of the large model's training; half on real text"
    )
    parser.add_argument("--draft-steps", type=int, default=500, help="of the draft's, which are cheaper")
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=64, help="continued per prompt")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each side; the best counts")
    parser.add_argument("--megabytes", type=float, default=3.0, help="of text")
    parser.add_argument(
        "--work", type=Path, default=Path("build/bench-speculative"), help="folder for texts and models"
    )
    parser.add_argument("--out", type=Path, default=RESULT)
    return parser.parse_args(argv)


def _compare(
    options: argparse.Namespace, inputs: Inputs, text: str
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    ids = _token_ids(inputs, text)
    cut = len(ids) * 9 // 10
    # Real text takes hours to learn: half as long shows no less what a useless draft costs.
    steps = [max(1, count // SHORTER[text]) for count in (options.steps, options.draft_steps)]
    learnt = [
        _model(inputs.root / text, shape, ids[:cut], count)
        for shape, count in zip((LARGE, SMALL), steps, strict=True)
    ]
    torch.set_num_threads(1)
    large, small = (model for model, _ in learnt)
    prompts = _prompts(ids[cut:], options.prompts)
    tally = Tally()
    sides = _sides(large, small, options.tokens, tally)
    said = _measure(sides, prompts, options.rounds)
    different = [name for name, texts in said.items() if texts != said["draft"]]
    if different:
        sys.exit(f"the texts differ: {', '.join(different)} from ours with a draft")
    pair = {
        "text": text,
        "steps": steps,
        "losses": [round(loss, 3) for _, loss in learnt],
        "parameters": [_size(large), _size(small)],
        "guessed": tally.guessed,
        "accepted": tally.accepted,
        "rate": round(tally.accepted / max(1, tally.guessed), 3),
        "tokens_per_pass": round((tally.accepted + tally.passes) / max(1, tally.passes), 2),
        "wall_seconds": {side.name: round(side.wall_seconds, 2) for side in sides},
    }
    return pair, _rows(options, inputs.describe() if text == "real" else _SAMPLE, pair, sides)


_SAMPLE = "pages of the sample world"


def _token_ids(inputs: Inputs, text: str) -> Any:
    """The text as one row of token ids."""
    shards = inputs.mixed() if text == "real" else inputs.sample_pages()
    folder, none = inputs.root / text / f"tokenizer-{VOCABULARY}", inputs.root / "none"
    if not folder.is_dir():
        none.mkdir(exist_ok=True)
        config = TokenizerSettings(
            vocabulary_size=VOCABULARY,
            sample_characters=1_000_000,
            character_coverage=0.995,
            check_strings=100,
        )
        execute(train_tokenizer, config, [shards, none], folder)
    tokenizer = load_tokenizer(folder)
    texts = [one for shard in list_shards(shards) for one in read_shard(shard)["text"].to_pylist()]
    return np.concatenate(list(encode_documents(tokenizer, texts)))


def _model(folder: Path, shape: dict[str, int], ids: Any, steps: int) -> tuple[Any, float]:
    """Trained at the first time, and kept; with the loss of its last ten steps."""
    path = folder / f"model-{shape['num_hidden_layers']}x{shape['hidden_size']}-{steps}"
    if not (path / "loss.json").is_file():
        torch.set_num_threads(len(os.sched_getaffinity(0)))
        model, loss = _trained(shape, ids, steps)
        model.save_pretrained(path)
        write_file(path / "loss.json", json.dumps(loss))
    loss = json.loads((path / "loss.json").read_text(encoding="utf-8"))
    return LlamaForCausalLM.from_pretrained(path).eval(), loss


def _trained(shape: dict[str, int], ids: Any, steps: int) -> tuple[Any, float]:
    """A model of `shape`, trained on sequences drawn by a fixed seed."""
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=VOCABULARY, max_position_embeddings=512, tie_word_embeddings=True, **shape
    )
    model = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.0, fused=True
    )
    random = np.random.default_rng(2)
    peak = 2e-3 * (512 / shape["hidden_size"]) ** 0.5
    losses = []
    for step in range(steps):
        starts = random.integers(0, len(ids) - CONTEXT, BATCH)
        tokens = torch.from_numpy(
            np.stack([ids[start : start + CONTEXT] for start in starts]).astype(np.int64)
        )
        for group in optimizer.param_groups:
            group["lr"] = peak * min(1.0, (step + 1) / 20) * (1 - step / steps)
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(tokens, labels=tokens, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
        if step % 50 == 0 or step == steps - 1:
            print(
                f"{_size(model):,} parameters, step {step}: loss {losses[-1]:.3f}",
                file=sys.stderr,
                flush=True,
            )
    return model, float(np.mean(losses[-10:]))


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


def _measure(sides: list[Side], prompts: list[list[int]], rounds: int) -> dict[str, list[list[int]]]:
    """All in turns. What each said in its last one."""
    said: dict[str, list[list[int]]] = {}
    for side in sides:
        side.decode(prompts[0][:8])  # what is loaded or compiled at first use
        side.cpu_seconds = side.wall_seconds = float("inf")
    for _ in range(rounds):
        for side in sides:
            cpu, wall = time.process_time(), time.monotonic()
            said[side.name] = [side.decode(prompt) for prompt in prompts]
            side.cpu_seconds = min(side.cpu_seconds, time.process_time() - cpu)
            side.wall_seconds = min(side.wall_seconds, time.monotonic() - wall)
    return said


def _rows(
    options: argparse.Namespace, source: str, pair: dict[str, Any], sides: list[Side]
) -> list[dict[str, Any]]:
    count = options.prompts * options.tokens
    ours, *peers = sides
    sizes = " and ".join(f"{size / 1e6:.1f} M" for size in pair["parameters"])
    turns = f"best of {options.rounds} turns" if options.rounds > 1 else "one turn"
    kind = {"sample": "predictable text", "real": "real text, a pair trained too short"}[pair["text"]]
    command = f"--steps {options.steps} --draft-steps {options.draft_steps} --prompts {options.prompts}"
    common = {
        "work": f"greedy decoding with a draft: {kind}",
        "unit": "tokens per CPU second",
        "cores": 1,
        "input": f"{options.prompts} texts of 24 tokens, {options.tokens} more each, {turns}; {sizes} parameters, "
        f"fp32, {' and '.join(map(str, pair['steps']))} steps on {source}",
        "command": f"python -m benchmarks.speculative {command} --tokens {options.tokens} --rounds {options.rounds}",
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%MZ"),
    }
    return [
        {
            **common,
            "ours": round(count / ours.cpu_seconds, 1),
            "peer": peer.name,
            "peer_value": round(count / peer.cpu_seconds, 1),
            "ratio": round(peer.cpu_seconds / ours.cpu_seconds, 2),
            "acceptance": pair["rate"],
            "tokens_per_pass": pair["tokens_per_pass"],
            "load": round(os.getloadavg()[0], 1),
        }
        for peer in peers
    ]


if __name__ == "__main__":
    main()
