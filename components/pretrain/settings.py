"""Settings of pretraining. The defaults suit about 1.3B parameters on a few A100."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from components.pretrain.forgetting import ForgettingSettings
from components.pretrain.guards import GuardSettings
from components.pretrain.replay import ReplaySettings
from kajiya.lm.shape import LlamaShape
from kajiya.settings import Settings


class AdamW(Settings):
    """AdamW (Loshchilov and Hutter 2019)."""

    peak_learning_rate: float = Field(default=3e-4, gt=0)
    """Learning rate after the warmup."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Decay of the first moment."""
    beta2: float = Field(default=0.95, ge=0, lt=1)
    """Decay of the second moment; 0.95 as in GPT-3 and Llama."""
    epsilon: float = Field(default=1e-8, gt=0)
    """Added to the root of the second moment."""
    weight_decay: float = Field(default=0.1, ge=0)
    """Decoupled decay of matrices; norms are never decayed."""
    clip_gradient_norm: float = Field(default=1.0, gt=0)
    """Global gradient norm above which gradients are scaled down."""


class Schedule(Settings):
    """Learning rate over the steps: linear warmup, then cosine or warmup-stable-decay."""

    kind: Literal["cosine", "wsd"] = "cosine"
    """cosine: falls from the peak to the end on a half wave. wsd: stays, then falls linearly (Hu et al. 2024)."""
    warmup_steps: int = Field(default=1000, ge=0)
    """Steps from zero to the peak."""
    decay_fraction: float = Field(default=0.2, gt=0, le=1)
    """wsd only: the last part of the steps in which the rate falls."""
    final_fraction: float = Field(default=0.1, ge=0, le=1)
    """Learning rate of the last step, as a part of the peak."""


class PretrainSettings(Settings):
    free: ClassVar[frozenset[str]] = frozenset({"save_every_steps", "keep_checkpoints", "keep_every_steps"})
    precious: ClassVar[str] = "checkpoints/step-*"

    model: LlamaShape = LlamaShape()
    """Shape of a model from scratch. With a base model its own shape counts, and only `context` is read here."""
    optimizer: AdamW = AdamW()
    """Optimizer."""
    schedule: Schedule = Schedule()
    """Learning rate schedule."""
    seed: int = 1
    """Of the initial weights and of the order of sequences."""
    steps: int | None = Field(default=None, ge=1)
    """Optimizer steps; null: as many as `epochs` asks for. Give at most one of the two."""
    epochs: float | None = Field(default=None, gt=0)
    """Passes over the training tokens; null, and no `steps`: one pass."""
    max_epochs: float = Field(default=4.0, gt=0)
    """Stop before training when `steps` would read the data more often than this: past about four
    passes repeated data adds little (Muennighoff et al. 2023)."""
    global_batch_sequences: int = Field(default=512, ge=1)
    """Sequences per optimizer step over all ranks."""
    micro_batch_sequences: int = Field(default=8, ge=1)
    """Sequences per rank and forward pass; gradients are accumulated up to the global batch."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """Of weights and activations; master weights and moments are always fp32."""
    attention: Literal["across_documents", "within_documents"] = "across_documents"
    """Whether a token sees the documents packed before its own in the sequence, as in GPT-3, or positions and
    attention begin anew at each document, as in Llama 3. Across is the faster where documents are
    short beside the context, and teaches that what stands before an end of sequence may not matter."""
    compile: bool = False
    """Compile each layer by torch.compile: faster on GPUs; on CPUs it needs a C++ compiler and half a
    minute. A parameter, because fused steps round otherwise."""
    zero_stage: Literal[0, 1, 2, 3] = 1
    """DeepSpeed ZeRO: 1 shards the optimizer state, 2 also the gradients, 3 also the parameters. One rank
    trains without DeepSpeed; in bf16 0 is as 1."""
    offload_optimizer: bool = False
    """Keep master weights and moments in the host's memory and update them there: 12 bytes per parameter
    less on the GPU, for slower steps."""
    ranks: int = Field(default=1, ge=1)
    """Processes that train, as planned: the order of sums, and so the bytes, depend on it. KAJIYA_RANKS in the
    environment takes another number for a run, also in the midst of a training."""
    threads_per_rank: int | None = Field(default=None, ge=1)
    """CPU threads of one rank; null: the cores divided by the ranks. A parameter, because sums are
    split over threads: fix it to get the same bytes on machines with other core counts."""
    activation_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory for about a third more time."""
    save_every_steps: int = Field(default=500, ge=1)
    """Steps between checkpoints; there is always one after the last step. This and the next two may be changed in
    the midst of a training."""
    keep_checkpoints: int = Field(default=2, ge=1)
    """The newest so many are kept until the stage is done. With one only, a rewind or a damaged checkpoint
    leads back to the start."""
    keep_every_steps: int | None = Field(default=None, ge=1)
    """Checkpoints at multiples of this are kept until the stage is done, whatever their age; null: none."""
    log_every_steps: int = Field(default=10, ge=1)
    """Steps between lines of metrics.jsonl."""
    validate_every_steps: int = Field(default=500, ge=1)
    """Steps between validations; there is always one after the last step."""
    validation_sequences: int = Field(default=512, ge=1)
    """Validation sequences used each time, drawn once by the seed."""
    guards: GuardSettings = GuardSettings()
    """What to do about steps that go wrong."""
    replay: ReplaySettings | None = None
    """Sources of which every batch holds a known share; null: all sequences in one order."""
    forgetting: ForgettingSettings | None = None
    """Watch what the base model forgets; null: do not."""

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.forgetting and self.forgetting.on_bound == "raise_replay" and self.replay is None:
            raise ValueError(
                "forgetting.on_bound is raise_replay, which needs `replay`: name its sources there"
            )
        if self.steps is not None and self.epochs is not None:
            raise ValueError("give `steps` or `epochs`, not both")
        if self.global_batch_sequences % (self.micro_batch_sequences * self.ranks):
            raise ValueError(
                f"global_batch_sequences {self.global_batch_sequences} is no multiple of micro_batch_sequences "
                f"{self.micro_batch_sequences} x ranks {self.ranks}"
            )
        return self
