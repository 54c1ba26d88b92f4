"""What the evaluation benchmark asks, of which models; both are made below its work folder."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

SHARED = Path(os.environ.get("KAJIYA_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))

_MODEL = {"layers": 6, "hidden_size": 512, "heads": 8, "ffn_size": 1408, "context": 2048}
_LARGE = {"layers": 24, "hidden_size": 2048, "heads": 16, "ffn_size": 5504, "context": 2048}


def random_model(shape: Mapping[str, Any], precision: str) -> Callable[[Path], None]:
    """A random Llama over the vocabulary of llm-jp, 48,586 pieces."""

    def write(out: Path) -> None:
        import torch  # noqa: PLC0415 - the tables need none of it
        from tokenizers.processors import Sequence  # noqa: PLC0415
        from transformers import AutoTokenizer  # noqa: PLC0415

        from kajiya.lm.model import fresh_model, llama_config  # noqa: PLC0415
        from kajiya.lm.shape import LlamaShape  # noqa: PLC0415

        tokenizer = AutoTokenizer.from_pretrained(SHARED / "tokenizers" / "llm_jp_hf_fast")
        # This export ends every text with an end token: prompts too, after which no answer could come.
        tokenizer.backend_tokenizer.post_processor = Sequence([])
        ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
        ids["pad_token_id"] = tokenizer.pad_token_id
        model = fresh_model(llama_config(LlamaShape(**shape), len(tokenizer), ids), 0)
        model.to(getattr(torch, precision)).save_pretrained(out)
        tokenizer.save_pretrained(out)

    return write


def stories(out: Path) -> None:
    """A trained model of 260,000 parameters and 512 pieces (llama2.c)."""
    from kajiya.lm.llama2c import convert_llama2c  # noqa: PLC0415

    folder = SHARED / "stories260k"
    convert_llama2c(folder / "stories260K.bin", folder / "tok512.bin", out)


class Work(NamedTuple):
    title: str
    model: Callable[[Path], None]
    sets: tuple[Path, ...]
    """Folders of evaluation sets, or of folders of them."""
    tasks: Mapping[str, Any]
    """By name: shots, items, and new_tokens where it is not as many as the prompt says."""
    batches: Mapping[Any, tuple[str, ...]]
    """Batch sizes of the peer, and the tasks that it tries with each; the fastest counts, for each task by itself."""
    settings: Mapping[str, Any] = {}
    gpu: bool = False
    ratio_goal: float | None = 1.5


_CHOICES, _TEXTS = ("jcommonsenseqa", "jnli"), ("jsquad", "mgsm")


def _tasks(choices: int, texts: int, new_tokens: int) -> dict[str, Any]:
    """So many items of each."""
    return {
        "jcommonsenseqa": {"shots": 3, "items": choices},
        "jnli": {"shots": 3, "items": choices},
        "jsquad": {"shots": 2, "items": texts},
        "mgsm": {"shots": 5, "items": texts, "new_tokens": new_tokens},
    }


_SETS = (SHARED / "jglue", SHARED / "mgsm")
_SMALL = {
    "jcommonsenseqa": {"shots": 0, "items": 64},
    "jnli": {"shots": 0, "items": 64},
    "mgsm_en": {"shots": 0, "items": 32, "new_tokens": 64},
}
WORKS = {
    "cpu": Work(
        "69M parameters, 48,586 pieces, random weights, float32 on a CPU",
        random_model(_MODEL, "float32"), _SETS, _tasks(24, 64, 32),
        # 64 sequences' logits are 6 GB: only texts, which ask for the last ones alone.
        {1: _CHOICES, 16: _CHOICES + _TEXTS, 64: _TEXTS},
    ),
    "cpu-small": Work(
        "stories260k: 512 pieces, trained, float32 on a CPU", stories, _SETS, _SMALL, dict.fromkeys((16, 64), (*_SMALL,)),
        {"choices": "cloze"}, ratio_goal=None,
    ),
    "gpu": Work(
        "1.3B parameters, 48,586 pieces, random weights, bfloat16 on a GPU",
        random_model(_LARGE, "bfloat16"), _SETS, _tasks(1000, 1000, 64), dict.fromkeys((16, 64, "auto"), _CHOICES + _TEXTS),
        {"dtype": "bfloat16", "batch_tokens": 16384}, gpu=True,
    ),
}  # fmt: skip


def link_sets(work: Work, out: Path) -> None:
    """One folder with the sets of the work: what else lies beside them is no set."""
    out.mkdir(parents=True, exist_ok=True)
    for folder in work.sets:
        link = out / folder.name
        link.unlink(missing_ok=True)
        link.symlink_to(folder.resolve())
