"""The dials of a Llama-architecture model. No torch here: settings must load fast."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from kajiya.settings import Settings

Size = Literal["125M", "350M", "760M", "1.3B", "2.7B", "7B", "13B", "33B", "65B", "70B"]

# Depth and width of the rungs: up to 2.7B as GPT-3 (Brown et al. 2020, table 2.1), from 7B as Llama
# (Touvron et al. 2023, table 2; Llama 2 for 70B). GPT-3's heads vary from 64 to 128 wide; here they are
# 64 up to 350M and 128 beyond, as Llama's are: what attention kernels are made for.
LADDER: dict[Size, dict[str, int]] = {
    "125M": {"layers": 12, "hidden_size": 768, "heads": 12},
    "350M": {"layers": 24, "hidden_size": 1024, "heads": 16},
    "760M": {"layers": 24, "hidden_size": 1536, "heads": 12},
    "1.3B": {"layers": 24, "hidden_size": 2048, "heads": 16},
    "2.7B": {"layers": 32, "hidden_size": 2560, "heads": 20},
    "7B": {"layers": 32, "hidden_size": 4096, "heads": 32},
    "13B": {"layers": 40, "hidden_size": 5120, "heads": 40},
    "33B": {"layers": 60, "hidden_size": 6656, "heads": 52},
    "65B": {"layers": 80, "hidden_size": 8192, "heads": 64},
    "70B": {"layers": 80, "hidden_size": 8192, "heads": 64, "kv_heads": 8, "ffn_size": 28672},
}

# Llama 7B and 13B are 128 times as wide as deep, with heads of 128.
_WIDTH_PER_LAYER = 128
_HEAD_SIZES = (128, 64, 32, 16, 8, 4, 2)


class LlamaShape(Settings):
    """Dials of a model made from scratch; the vocabulary comes from the tokenizer.

    One dial is enough: `size`, or `layers`. What is not given follows from it. With none of them it is
    size 1.3B.
    """

    size: Size | None = None
    """A rung of the ladder: widths and depths of GPT-3 up to 2.7B, of Llama from 7B on."""
    hidden_size: int = Field(default=2048, ge=8)
    """Width of the residual stream. Not given: of `size`, else 128 for each layer, as Llama 7B and 13B have it."""
    layers: int = Field(default=24, ge=1)
    """Transformer blocks. Not given: of `size`, else a 128th of hidden_size."""
    heads: int = Field(default=16, ge=1)
    """Attention heads; the head size is hidden_size / heads. Not given: of `size`, else heads of 128, or of
    the largest power of two below that divides hidden_size."""
    kv_heads: int | None = Field(default=None, ge=1)
    """Key-value heads (grouped-query attention); null: of `size`, else as many as heads."""
    ffn_size: int | None = Field(default=None, ge=8)
    """Width of the SwiGLU feed-forward; null: of `size`, else 8/3 of hidden_size, rounded up to a multiple of
    256 as Llama has it (4096 gives 11008): the parameters of a classic 4x layer (Shazeer 2020)."""
    context: int = Field(default=2048, ge=8)
    """Longest sequence in tokens, and the length of every training sequence."""
    tied_embeddings: bool = False
    """Share input and output embeddings: saves vocabulary x hidden_size parameters in small models."""
    rope_theta: float = Field(default=10_000.0, gt=0)
    """Base of the rotary position frequencies."""
    initializer_range: float = Field(default=0.02, gt=0)
    """Standard deviation of the initial weights."""

    @model_validator(mode="before")
    @classmethod
    def _derive(cls, given: Any) -> Any:
        return {**_derived(given), **given} if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.hidden_size % self.heads or (self.hidden_size // self.heads) % 2:
            raise ValueError(
                f"hidden_size {self.hidden_size} over {self.heads} heads is not an even head size "
                "(rotary positions turn pairs). Choose hidden_size = heads x an even number"
            )
        if self.heads % self.key_value_heads:
            raise ValueError(f"heads {self.heads} is no multiple of kv_heads {self.key_value_heads}")
        return self

    @property
    def key_value_heads(self) -> int:
        return self.kv_heads or self.heads

    @property
    def feed_forward_size(self) -> int:
        return self.ffn_size or derived_ffn_size(self.hidden_size)


def derived_ffn_size(hidden_size: int) -> int:
    return -(-hidden_size * 8 // 3 // 256) * 256


def parameter_count(shape: LlamaShape, vocabulary_size: int) -> int:
    """Every weight of the model, exactly: embeddings, attention, feed-forward, norms, and the output head."""
    width = shape.hidden_size
    key_value_width = width // shape.heads * shape.key_value_heads
    attention = 2 * width * width + 2 * width * key_value_width
    layer = attention + 3 * width * shape.feed_forward_size + 2 * width
    embeddings = vocabulary_size * width * (1 if shape.tied_embeddings else 2)
    return embeddings + shape.layers * layer + width


def updated_parameter_count(shape: LlamaShape, rank: int) -> int:
    """Weights of low-rank updates (LoRA) of every linear layer but the head."""
    width, ffn = shape.hidden_size, shape.feed_forward_size
    key_value_width = width // shape.heads * shape.key_value_heads
    sides = 2 * (width + width) + 2 * (width + key_value_width) + 3 * (width + ffn)
    return shape.layers * rank * sides


def _derived(given: dict[str, Any]) -> dict[str, int]:
    """The dials that follow from those given; nothing from a dial that is no number: its own check tells."""
    numbers = {key: one for key, one in given.items() if type(one) is int and one > 0}
    if "size" in given or not {"layers", "hidden_size"} & numbers.keys():
        rung = LADDER.get(given.get("size") or "1.3B", {})
        # A rung's heads fit its own width; so do its feed-forward and groups.
        if "hidden_size" not in numbers:
            return rung
        return {key: rung[key] for key in ("layers",) if key in rung} | _heads(numbers)
    depth = numbers.get("layers") or max(1, numbers["hidden_size"] // _WIDTH_PER_LAYER)
    width = numbers.get("hidden_size") or depth * _WIDTH_PER_LAYER
    return {"layers": depth, "hidden_size": width} | _heads({"hidden_size": width})


def _heads(numbers: dict[str, int]) -> dict[str, int]:
    width = numbers["hidden_size"]
    size = next((one for one in _HEAD_SIZES if width % one == 0), width)
    return {"heads": width // size}
