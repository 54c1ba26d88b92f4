"""What a recipe may say about every kind of tuning."""

from typing import Literal, Self

from pydantic import Field, model_validator

from kajiya.overlap import OverlapSettings
from kajiya.settings import Settings


class LoraSettings(Settings):
    rank: int = Field(16, ge=1)
    """Rank of the low-rank updates (Hu et al. 2021)."""
    alpha: float = Field(32.0, gt=0)
    """Scale of the updates: they count alpha / rank times."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout before each update."""
    base: Literal["stored", "nf4"] = "stored"
    """How the frozen weights are held while training. stored: in the precision of their files (fp32 where `precision`
    is fp32). nf4: 4 bits (QLoRA, Dettmers et al. 2023); needs bitsandbytes, the extra `kajiya[qlora]`. The model
    saved is in the base's precision either way; of nf4 it holds the weights as the 4 bits tell them."""
    keep_adapter: bool = False
    """Keep the updates by themselves too, as PEFT reads them, in OUT/adapter."""


class TuningSettings(Settings):
    on_forbidden: Literal["drop", "stop"] = "drop"
    """What becomes of records that policy.yaml refuses. drop: leave them out, name and count them. stop: end
    with an error at the first."""
    evaluation_overlap: OverlapSettings = OverlapSettings()
    """Records that hold an item of the evaluation sets are left out."""
    evaluation_splits: tuple[str, ...] = ("valid", "test")
    """Splits of the evaluation sets to keep out: those that models are measured on. Tuning on `train` is fair."""
    max_tokens: int = Field(2048, ge=8)
    """Longest conversation in tokens; a longer one is left out whole: cut, it would teach to stop short."""
    epochs: float = Field(3.0, gt=0)
    """Passes over the records."""
    batch_size: int = Field(32, ge=1)
    """Records in one optimizer step."""
    micro_batch_size: int = Field(4, ge=1)
    """Rows computed at once (a row: one record, or several conversations packed); batch_size must be a multiple
    of it."""
    learning_rate: float = Field(2e-5, gt=0)
    """Highest learning rate; LoRA wants about ten times that of full tuning."""
    warmup_share: float = Field(0.03, ge=0, lt=1)
    """Share of the steps in which the learning rate rises; then it falls as a cosine."""
    weight_decay: float = Field(0.0, ge=0)
    """Of AdamW."""
    max_gradient_norm: float = Field(1.0, gt=0)
    """Gradients are clipped to this norm."""
    precision: Literal["fp32", "bf16"] = "bf16"
    """Of the matrix products; the weights that are trained and the optimizer are kept in fp32."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""
    lora: LoraSettings | None = None
    """null: tune all weights. Otherwise low-rank updates, merged into the weights at the end."""
    validation_share: float = Field(0.02, ge=0, lt=0.5)
    """Share of the records that only measure."""
    log_every_steps: int = Field(10, ge=1)
    """Steps between lines of metrics.jsonl."""
    save_every_steps: int = Field(200, ge=1)
    """Steps between checkpoints, from which a killed tuning goes on; the metrics of these steps are logged too."""
    threads: int | None = Field(None, ge=1)
    """CPU threads; null: one per core. A parameter, because sums are split over threads: fix it to get
    the same bytes on machines with other core counts."""
    seed: int = Field(0, ge=0)
    """Of the order of the records, of dropout and of the LoRA matrices."""

    @model_validator(mode="after")
    def _whole_batches(self) -> Self:
        if self.batch_size % self.micro_batch_size:
            raise ValueError(
                f"batch_size {self.batch_size} is not a multiple of micro_batch_size {self.micro_batch_size}"
            )
        return self
