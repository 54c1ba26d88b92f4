"""Contenders of the quantization benchmark; `python -m benchmarks.quantizers NAME OPTIONS` is one of them.

Both quantize the same random Llama on the same calibration sequences by the same settings. A turn goes from the model's
folder to the quantized folder; importing is done before, and told apart.
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.contender import Ready, serve


def prepare_ours(model: str, tokens: str, out: str, settings: dict[str, Any]) -> Ready:
    """The stage as it runs, to the published folder and its report."""
    from components.quantize import QuantizeSettings, run  # noqa: PLC0415
    from components.quantize.compress import compress  # noqa: PLC0415, F401 - before the clock starts
    from kajiya.stage import execute  # noqa: PLC0415

    config = QuantizeSettings.model_validate(settings)
    imports = time.process_time()

    def work() -> dict[str, Any]:
        shutil.rmtree(out, ignore_errors=True)
        began = _began()
        execute(run, config, [Path(model), Path(tokens)], Path(out))
        return _counts(began, imports)

    return Ready(
        work, 0, "kajiya.stage.execute: calibration, llm-compressor, folder, weight errors, comparison"
    )


def prepare_plain(model: str, tokens: str, out: str, settings: dict[str, Any]) -> Ready:
    """llm-compressor as its examples call it, with the calibration sequences of the stage at hand."""
    from llmcompressor import oneshot  # noqa: PLC0415
    from torch.utils.data import DataLoader  # noqa: PLC0415
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415

    from components.quantize import QuantizeSettings  # noqa: PLC0415
    from components.quantize.calibration import choose_sequences  # noqa: PLC0415
    from components.quantize.compress import modifiers, unpinned_without_accelerator  # noqa: PLC0415

    config = QuantizeSettings.model_validate(settings)
    calibration, _ = choose_sequences(config, Path(model), Path(tokens))
    imports = time.process_time()

    def work() -> dict[str, Any]:
        shutil.rmtree(out, ignore_errors=True)
        began = _began()
        torch.manual_seed(config.seed)
        loaded = AutoModelForCausalLM.from_pretrained(model, dtype="auto")
        tokenizer = AutoTokenizer.from_pretrained(model)
        # On a machine without an accelerator AWQ does not run at all without this line.
        with unpinned_without_accelerator():
            oneshot(
                model=loaded, processor=tokenizer, recipe=modifiers(config),
                dataset=DataLoader(calibration), pipeline="sequential",
            )  # fmt: skip
        loaded.save_pretrained(out, save_compressed=True)
        tokenizer.save_pretrained(out)
        return _counts(began, imports)

    return Ready(work, 0, "llmcompressor.oneshot, save_pretrained(save_compressed=True)")


def _began() -> tuple[float, float]:
    _synchronize()
    return time.process_time(), time.perf_counter()


def _counts(began: tuple[float, float], imports: float) -> dict[str, Any]:
    _synchronize()
    return {
        "cpu": round(time.process_time() - began[0], 2),
        "wall": round(time.perf_counter() - began[1], 2),
        "imports_cpu": round(imports, 1),
        "peak_mb": _peak_mb(),
    }


def _peak_mb() -> int:
    """Most memory held at once since the process began: its own, or the GPU's where there is one."""
    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 1e6)
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return round(int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024 / 1e6)


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


PREPARE: dict[str, Callable[..., Ready]] = {"ours": prepare_ours, "plain": prepare_plain}

if __name__ == "__main__":
    serve(PREPARE)
