"""The dials of a Llama-architecture model. No torch here: settings must load fast."""

from pydantic import Field

from kajiya.settings import Settings


class LlamaShape(Settings):
    """Dials of a model made from scratch; the vocabulary comes from the tokenizer.

    The defaults are about 1.3 billion parameters with 50,000 pieces.
    """

    hidden_size: int = Field(default=2048, ge=8)
    """Width of the residual stream."""
    layers: int = Field(default=24, ge=1)
    """Transformer blocks."""
    heads: int = Field(default=16, ge=1)
    """Attention heads; the head size is hidden_size / heads."""
    kv_heads: int | None = Field(default=None, ge=1)
    """Key-value heads (grouped-query attention); null: as many as heads."""
    ffn_size: int | None = Field(default=None, ge=8)
    """Width of the SwiGLU feed-forward; null: 8/3 of hidden_size, rounded up to a multiple of 256
    as Llama has it (4096 gives 11008): the parameters of a classic 4x layer (Shazeer 2020)."""
    context: int = Field(default=2048, ge=8)
    """Longest sequence in tokens, and the length of every training sequence."""
    tied_embeddings: bool = False
    """Share input and output embeddings: saves vocabulary x hidden_size parameters in small models."""
    rope_theta: float = Field(default=10_000.0, gt=0)
    """Base of the rotary position frequencies."""
    initializer_range: float = Field(default=0.02, gt=0)
    """Standard deviation of the initial weights."""


def derived_ffn_size(hidden_size: int) -> int:
    return -(-hidden_size * 8 // 3 // 256) * 256
