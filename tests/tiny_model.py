"""A Llama of a few thousand weights with a tokenizer and a token folder, for tests of the model stages."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from kajiya.records import TOKEN_SPAN

SENTENCES = [
    "愛媛県の県庁所在地は松山市です。",
    "香川県の県庁所在地は高松市で、うどんがよく知られています。",
    "りんごは青森県でたくさん作られる果物だ。",
    "日本で一番長い川は信濃川である。",
    "質問に答えなさい。答えは文章の中にあります。",
    "この商品はとても使いやすくて気に入りました。",
    "The river runs from the mountains to the sea.",
]


def write_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<unk>", "</s>"], show_progress=False)
    tokenizer.train_from_iterator([*SENTENCES, "質問: 答え: 選択肢: 含意 矛盾 中立 肯定 否定\n"], trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>")
    fast.chat_template = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
    fast.save_pretrained(folder)
    return fast


def write_model(folder: Path, tie: bool = False, **config: int) -> LlamaForCausalLM:
    """A random Llama and its tokenizer in `folder`."""
    tokenizer = write_tokenizer(folder)
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    shape |= {"max_position_embeddings": 128}
    torch.manual_seed(7)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            tie_word_embeddings=tie,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            initializer_range=0.2,
            **shape | config,
        )
    )
    model.save_pretrained(folder)
    return model


def write_tokens(folder: Path, model: Path, documents: int = 120, texts: list[str] | None = None) -> None:
    """Validation tokens of `documents` documents (or of these texts) from two sources, in the layout of docs/formats.md."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(model)
    ids: list[int] = []
    spans = []
    made = ["".join(SENTENCES[(n + k * k) % len(SENTENCES)] for k in range(3)) for n in range(documents)]
    for number, text in enumerate(texts or made):
        tokens = [*tokenizer.encode(text), tokenizer.eos_token_id]
        source = "wikipedia" if number % 3 else "diet"
        spans.append(
            {
                "start": len(ids),
                "end": len(ids) + len(tokens),
                "document_id": f"{source}:{number}",
                "source": source,
            }
        )
        ids += tokens
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "validation.npy", np.array(ids, np.uint16))
    pq.write_table(pa.Table.from_pylist(spans, TOKEN_SPAN), folder / "validation.spans.parquet")
    facts = {"vocabulary_size": len(tokenizer), "end_of_sequence": tokenizer.eos_token_id}
    (folder / "tokens.json").write_text(json.dumps(facts))
