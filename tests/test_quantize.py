"""GPTQ and AWQ on a Llama of a few thousand weights, on the CPU."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors import safe_open
from tiny_model import write_model, write_tokens
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

from components.quantize import QuantizeSettings, run
from components.quantize.calibration import choose_sequences, split_sequences
from components.quantize.compress import check_group_size
from components.quantize.threads import fitting_threads
from kajiya.errors import KajiyaError
from kajiya.report import Report
from kajiya.stage import execute

METHODS = ["gptq", "awq"]
SETTINGS = QuantizeSettings(
    method="gptq", group_size=32, sequence_tokens=32, calibration_sequences=8, held_out_sequences=4, seed=1
)


def of(method: str) -> QuantizeSettings:
    return SETTINGS.model_copy(update={"method": method})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "instruct")
    (folder / "instruct" / "metrics.jsonl").write_text("{}\n")
    write_tokens(folder / "tokens", folder / "instruct")
    return folder


@pytest.fixture(scope="module", params=METHODS)
def quantized(request: pytest.FixtureRequest, world: Path) -> tuple[Path, Report]:
    out = world / request.param
    return out, execute(run, of(request.param), [world / "instruct", world / "tokens"], out)


def test_quantized_model_is_loaded_by_transformers_and_generates(quantized: tuple[Path, Report]) -> None:
    out, _ = quantized
    tokenizer = AutoTokenizer.from_pretrained(out)
    model = AutoModelForCausalLM.from_pretrained(out)
    ids = tokenizer("日本で一番長い川は", return_tensors="pt").input_ids
    assert model.generate(ids, max_new_tokens=4, do_sample=False).shape[1] == ids.shape[1] + 4


def test_quantized_model_is_evaluated_as_plain_lm_eval_evaluates_it(quantized: tuple[Path, Report]) -> None:
    from lm_eval.models.huggingface import HFLM

    from components.evaluate import EvaluateSettings
    from components.evaluate.models import trained_model

    model = trained_model(quantized[0], EvaluateSettings(dtype="float32"))
    plain = HFLM(pretrained=model.model, tokenizer=model.tokenizer, batch_size=2)
    prompts = [model.tok_encode(text) for text in ("日本で一番長い川は", "愛媛県の県庁所在地は松山市です。")]
    asked = [(("", ""), prompt, scored) for prompt in prompts for scored in ([5], [6, 7, 8], [6, 9])]
    found, expected = (one._loglikelihood_tokens(asked, disable_tqdm=True) for one in (model, plain))
    assert [nats for nats, _ in found] == pytest.approx([nats for nats, _ in expected], abs=1e-3)


def test_quantized_weights_take_four_bits_and_their_scales(quantized: tuple[Path, Report]) -> None:
    out, report = quantized
    with safe_open(out / "model.safetensors", "pt") as file:
        names = set(file.keys())
        packed = file.get_tensor("model.layers.0.mlp.up_proj.weight_packed")
    assert packed.numel() * 4 == 64 * 128 / 2
    assert "model.layers.0.mlp.up_proj.weight" not in names
    # 4 bits, a float32 scale per group of 32 (1 bit), the shape, and AWQ's zero points.
    assert 5 <= report.figures["bits_per_weight"] < 5.3
    assert report.figures["layers_quantized"] == 14
    assert report.figures["weights_quantized"] == 2 * (4 * 64 * 64 + 3 * 64 * 128)


def test_quantize_keeps_embeddings_and_head_bit_for_bit(world: Path, quantized: tuple[Path, Report]) -> None:
    out, report = quantized
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        with (
            safe_open(world / "instruct" / "model.safetensors", "pt") as full,
            safe_open(out / "model.safetensors", "pt") as small,
        ):
            assert torch.equal(full.get_tensor(name), small.get_tensor(name))
    assert report.figures["bytes_embeddings_after"] == report.figures["bytes_embeddings_before"] > 0


def test_quantize_report_measures_the_error_of_the_saved_model(quantized: tuple[Path, Report]) -> None:
    _, report = quantized
    figures = report.figures
    assert 0 < figures["kl_divergence"] < 1
    assert figures["perplexity_quantized"] == pytest.approx(figures["perplexity_full"], rel=0.3)
    assert all(0 < error < 0.5 for error in figures["weight_error"].values())
    assert figures["bytes_after"] < figures["bytes_before"]
    assert figures["calibration_sequences"] == 8


def test_weight_error_of_gptq_is_that_of_the_packed_weights(
    world: Path, quantized: tuple[Path, Report]
) -> None:
    out, report = quantized
    name = "model.layers.1.mlp.down_proj"
    with safe_open(world / "instruct" / "model.safetensors", "pt") as file:
        full = file.get_tensor(f"{name}.weight")
    with safe_open(out / "model.safetensors", "pt") as file:
        packed, scales = (file.get_tensor(f"{name}.weight_{part}") for part in ("packed", "scale"))
    # Eight numbers of four bits to an int32, the lowest bits first, 8 added to each.
    numbers = (packed[..., None] >> torch.arange(0, 32, 4)) & 15
    rounded = (numbers.flatten(1) - 8) * scales.repeat_interleave(32, dim=1)
    error = float((rounded - full).norm() / full.norm())
    if out.name == "gptq":
        assert report.figures["weight_error"][name] == pytest.approx(error, rel=1e-4)
    else:  # with zero points, and of scaled weights
        assert report.figures["weight_error"][name] != pytest.approx(error, rel=0.1)


def test_divergence_and_perplexities_are_those_of_the_two_folders(
    world: Path, quantized: tuple[Path, Report]
) -> None:
    out, report = quantized
    _, sequences = choose_sequences(of(out.name), world / "instruct", world / "tokens")
    full, small = (AutoModelForCausalLM.from_pretrained(folder) for folder in (world / "instruct", out))
    divergences, losses = [], []
    for sequence in sequences:
        one = {name: tensor[None] for name, tensor in sequence.items()}
        with torch.no_grad():
            logs = [model(**one, use_cache=False).logits[0, :-1].log_softmax(-1) for model in (full, small)]
        divergences.append(float((logs[0].exp() * (logs[0] - logs[1])).sum(-1).mean()))
        losses.append([float(-log.gather(1, one["input_ids"][0, 1:, None]).mean()) for log in logs])
    expected = torch.tensor(losses).mean(0).exp()
    assert report.figures["kl_divergence"] == pytest.approx(sum(divergences) / len(divergences), rel=1e-3)
    assert report.figures["perplexity_full"] == pytest.approx(float(expected[0]), rel=1e-4)
    assert report.figures["perplexity_quantized"] == pytest.approx(float(expected[1]), rel=1e-4)


def test_narrow_model_is_given_one_thread_and_a_wide_one_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    given: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    for width in (512, 4096):
        with fitting_threads(LlamaConfig(hidden_size=width)):
            pass
    assert given == [1, 7, 7]


def test_quantize_copies_tokenizer_and_template_but_no_log(
    world: Path, quantized: tuple[Path, Report]
) -> None:
    out, _ = quantized
    names = {path.name for path in out.iterdir()}
    assert {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "config.json"} <= names
    assert not names & {"recipe.yaml", "metrics.jsonl"}
    assert (out / "tokenizer.json").read_bytes() == (world / "instruct" / "tokenizer.json").read_bytes()


def test_quantize_run_again_elsewhere_gives_the_same_bytes(
    world: Path, quantized: tuple[Path, Report], tmp_path: Path
) -> None:
    out, report = quantized
    shutil.copytree(world / "instruct", tmp_path / "moved")
    again = execute(run, of(out.name), [tmp_path / "moved", world / "tokens"], tmp_path / "again" / out.name)
    files = {path.name: path.read_bytes() for path in out.iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "again" / out.name).iterdir()} == files
    assert again == report


@pytest.mark.parametrize("method", METHODS)
def test_quantize_tied_embeddings_stay_tied_and_are_counted_once(method: str, tmp_path: Path) -> None:
    full = write_model(tmp_path / "instruct", tie=True)
    write_tokens(tmp_path / "tokens", tmp_path / "instruct")
    report = execute(run, of(method), [tmp_path / "instruct", tmp_path / "tokens"], tmp_path / method)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / method)
    assert loaded.config.tie_word_embeddings
    assert torch.equal(loaded.lm_head.weight, full.model.embed_tokens.weight)
    assert report.figures["bytes_embeddings_after"] == full.model.embed_tokens.weight.nbytes


def test_quantize_coarser_groups_lose_more(world: Path, tmp_path: Path) -> None:
    paths = [world / "instruct", world / "tokens"]
    fine, coarse = (
        execute(run, SETTINGS.model_copy(update={"group_size": size}), paths, tmp_path / str(size) / "gptq")
        for size in (8, 64)
    )
    assert fine.figures["weight_error_mean"] < coarse.figures["weight_error_mean"]
    assert fine.figures["bits_per_weight"] > coarse.figures["bits_per_weight"]


def test_group_size_that_divides_not_every_layer_names_layer_and_remedy() -> None:
    with pytest.raises(KajiyaError, match=r"group_size 128 .* input size 192 of up_proj.*: 8, 16, 32, 64\."):
        check_group_size(128, {"q_proj": 256, "up_proj": 192})


def test_group_size_wrong_leaves_no_output(world: Path, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"group_size": 48})
    with pytest.raises(KajiyaError, match="group_size 48 does not divide the input size 64"):
        execute(run, settings, [world / "instruct", world / "tokens"], tmp_path / "gptq")
    assert not (tmp_path / "gptq").exists()


def test_split_sequences_never_shares_one_and_keeps_some_to_measure() -> None:
    for count in (2, 3, 9, 50):
        calibration, held_out = split_sequences(count, SETTINGS)
        assert len(calibration) >= 1
        assert len(held_out) >= 1
        assert not set(calibration) & set(held_out)
    assert len(split_sequences(50, SETTINGS)[0]) == SETTINGS.calibration_sequences


def test_quantize_too_few_tokens_says_what_to_change(world: Path, tmp_path: Path) -> None:
    write_tokens(tmp_path / "tokens", world / "instruct", documents=2)
    settings = SETTINGS.model_copy(update={"sequence_tokens": 100})
    with pytest.raises(KajiyaError, match="validation"):
        execute(run, settings, [world / "instruct", tmp_path / "tokens"], tmp_path / "gptq")


def test_quantize_sequence_longer_than_the_context_is_refused(world: Path, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"sequence_tokens": 4096})
    with pytest.raises(KajiyaError, match=r"sequence_tokens 4096 is longer than the context .* \(128\)"):
        execute(run, settings, [world / "instruct", world / "tokens"], tmp_path / "gptq")


def test_quantize_a_quantized_model_is_refused(quantized: tuple[Path, Report], tmp_path: Path) -> None:
    out, _ = quantized
    with pytest.raises(KajiyaError, match="quantized already"):
        execute(run, SETTINGS, [out, out.parent / "tokens"], tmp_path / "gptq")


@pytest.mark.parametrize(("method", "other"), [("gptq", "grid_points"), ("awq", "dampening")])
def test_quantize_setting_of_the_other_method_is_refused(method: str, other: str) -> None:
    with pytest.raises(ValidationError, match=f"{other}: {method} has no such setting"):
        QuantizeSettings.model_validate({"method": method, other: 10})


def test_quantize_help_does_not_wait_for_torch() -> None:
    code = "import sys, components.quantize; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
