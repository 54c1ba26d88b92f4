"""Curves of a training run as a picture."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from components.register.scores import Point


def plot_loss(curve: list[Point], title: str, path: Path) -> bool:
    """Draw every loss over the steps as PNG; False when the curve has none."""
    losses = sorted({point.name for point in curve if "loss" in point.name})
    if not losses:
        return False
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)  # draws without a display, and without pyplot's global state
    axes = figure.add_subplot(xlabel="step", ylabel="loss", title=title)
    for name in losses:
        points = [(point.step, point.value) for point in curve if point.name == name]
        steps, values = zip(*points, strict=True)
        axes.plot(steps, values, label=name, marker="." if len(steps) < 20 else None)
    axes.grid(alpha=0.3)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return True
