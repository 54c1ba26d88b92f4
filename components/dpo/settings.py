"""What a recipe may say about preference tuning."""

from typing import Literal

from pydantic import Field

from kajiya.lm.tuning.settings import TuningSettings


class DpoSettings(TuningSettings):
    epochs: float = Field(1.0, gt=0)
    """Passes over the pairs."""
    learning_rate: float = Field(1e-6, gt=0)
    """Highest learning rate, far below that of instruction tuning; LoRA wants about ten times that of full tuning."""
    validation_share: float = Field(0.05, ge=0, lt=0.5)
    """Share of the pairs that only measure."""
    beta: float = Field(0.1, gt=0)
    """How dear it is to leave the start: what a log-probability gained on it counts as reward (Rafailov et al. 2023)."""
    loss: Literal["sigmoid", "ipo"] = "sigmoid"
    """sigmoid: DPO. ipo: squared (Azar et al. 2023), which does not push pairs apart for ever; its beta is a
    regularisation of another scale."""
    label_smoothing: float = Field(0.0, ge=0, lt=0.5)
    """Share of pairs taken to be labelled the wrong way round; sigmoid only."""
