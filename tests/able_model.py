"""A Llama of some 100,000 weights that has learnt to answer questions, for tests of what a change costs it."""

import json
import random
from pathlib import Path

import torch
from tiny_model import write_model
from torch.nn.functional import cross_entropy
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

QUESTIONS = 120
_ANSWERS = ["松山市", "高松市", "青森県", "信濃川", "うどん", "りんご", "果物", "日本"]
_CHARACTERS = "愛媛県庁所在地松山市香川高知青森果物日本一番長信濃質問章中商品使気入"  # the tokenizer's own


def questions(seed: int = 5) -> list[dict]:
    """Items in JCommonsenseQA's form: a name, and which of five words belongs to it."""
    draw = random.Random(seed)
    items = []
    for number in range(QUESTIONS):
        choices = draw.sample(_ANSWERS, 5)
        name = "".join(draw.sample(_CHARACTERS, 4))
        items.append(
            {
                "q_id": number,
                "question": f"{name}に当たるものはどこですか。",
                **{f"choice{k}": choice for k, choice in enumerate(choices)},
                "label": draw.randrange(5),
            }
        )
    return items


def write_questions(folder: Path) -> Path:
    """The evaluation set."""
    path = folder / "jcommonsenseqa" / "valid-v1.0.json"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(item, ensure_ascii=False) + "\n" for item in questions()))
    return folder


def write_able_model(folder: Path, steps: int = 300) -> None:
    """Train it on every question with its answer, cloze, in seconds."""
    model: LlamaForCausalLM = write_model(folder, num_hidden_layers=2)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    texts = answered()
    encoded = [[*tokenizer.encode(text), tokenizer.eos_token_id] for text in texts]
    width = max(map(len, encoded))
    ids = torch.full((len(encoded), width), tokenizer.eos_token_id)
    labels = torch.full((len(encoded), width), -100)
    for row, (line, text) in enumerate(zip(encoded, texts, strict=True)):
        ids[row, : len(line)] = labels[row, : len(line)] = torch.tensor(line)
        labels[row, : len(tokenizer.encode(text.partition("答え：")[0]))] = -100
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    generator = torch.Generator().manual_seed(3)
    for _ in range(steps):
        rows = torch.randperm(len(encoded), generator=generator)[:40]
        logits = model(input_ids=ids[rows], use_cache=False).logits[:, :-1]
        loss = cross_entropy(logits.transpose(1, 2), labels[rows, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    model.save_pretrained(folder)


def answered() -> list[str]:
    """What it is trained on: every question with its answer."""
    return [f"質問：{item['question']}\n答え：{item['choice' + str(item['label'])]}" for item in questions()]
