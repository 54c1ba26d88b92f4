"""Train the base model: a Llama-architecture transformer, from scratch or from an HF folder.

Global batch k is the k-th slice of an order of sequences that depends on the seed alone. Every rank is
a process, one on plain torch, two or more on DeepSpeed (ZeRO 0-3); a rank that dies or hangs ends the
others, and is named. Checkpoints lie in `.work/` beside OUT until the stage is done: killed at any moment
and started again, the training goes on at the exact sequence and ends in the same bytes. SIGTERM finishes
the step, saves, and ends with status 75; KAJIYA_RANKS takes another number of ranks for a run. BASE is a folder with config.json and safetensors
to continue from; without config.json in it (inputs/none) the weights start at random. EVALUATION_SETS
is read where `forgetting` asks for its texts or tasks.

OUT: HF folder (safetensors, config, tokenizer), metrics.jsonl (step, tokens, loss, lr, grad_norm,
validation losses) and samples.parquet (what each step read, proved from the ranks' logs). OUT.pages holds
history.jsonl: starts, ranks, warnings, ends. With MLFLOW_TRACKING_URI set, the same lines go live to MLflow.
"""

import json
import sys
from pathlib import Path

from components.pretrain.launch import launch, ranks_of_this_run
from components.pretrain.replay import check_plan, make_pools
from components.pretrain.schedule import planned_steps
from components.pretrain.settings import PretrainSettings
from components.pretrain.vocabulary import read_pieces
from kajiya.errors import KajiyaError
from kajiya.lm.extension import read_extension
from kajiya.lm.packing import TokenDataset
from kajiya.report import Report

__all__ = ["PretrainSettings", "run"]


def run(  # noqa: PLR0913 - the inputs of a stage are its parameters
    config: PretrainSettings,
    tokens: Path,
    tokenizer: Path,
    base: Path,
    evaluation_sets: Path,
    *,
    out: Path,
    work: Path,
    pages: Path,
) -> Report:
    """Check that data and settings fit, train in as many processes as there are ranks, report."""
    ranks = ranks_of_this_run(config)
    _check_devices(ranks)
    dataset = TokenDataset(tokens, "train", config.model.context)
    steps = planned_steps(config, len(dataset))
    _tell_repeats(steps * config.global_batch_sequences / len(dataset))
    if config.replay:
        pools = make_pools(dataset, config.replay.sources)
        check_plan(config.replay, pools, config.global_batch_sequences, steps, config.max_epochs)
    _check_vocabulary(dataset.facts["vocabulary_size"], tokenizer, base)
    job = {
        "config": config.model_dump(mode="json"),
        "steps": steps,
        "tokens": str(tokens),
        "tokenizer": str(tokenizer),
        "base": str(base) if (base / "config.json").is_file() else None,
        "evaluation_sets": str(evaluation_sets),
        "out": str(out),
        "work": str(work),
        "pages": str(pages),
    }
    launch(job, config, ranks)
    figures = json.loads((work / "figures.json").read_bytes())
    return Report(figures=figures)


def _check_devices(ranks: int) -> None:
    """Refuse more ranks than GPUs before anything is started: all ranks are processes of this machine."""
    if ranks == 1:
        return
    import torch  # noqa: PLC0415 - seconds to import, and one rank needs no check

    devices = torch.cuda.device_count()
    if torch.cuda.is_available() and ranks > devices:
        raise KajiyaError(
            f"pretrain: {ranks} ranks, but this machine has {devices} CUDA devices, and each rank needs its own. Set "
            f"KAJIYA_RANKS to at most {devices} (the global batch must divide), or CUDA_VISIBLE_DEVICES= to train on "
            "CPUs. Ranks over several machines are not supported."
        )


def _tell_repeats(epochs: float) -> None:
    if epochs > 1:
        print(
            f"pretrain: the training sequences are read {epochs:.2f} times on average",
            file=sys.stderr,
            flush=True,
        )


def _check_vocabulary(vocabulary_size: int, tokenizer: Path, base: Path) -> None:
    pieces = read_pieces(tokenizer)
    size = max(pieces.values()) + 1
    if size != vocabulary_size:
        raise KajiyaError(
            f"{tokenizer}/tokenizer.json has {size} pieces, but the tokens were made with "
            f"{vocabulary_size}. Run the stage `tokenize` again with this tokenizer."
        )
    if not (base / "config.json").is_file():
        leftover = sorted(path.name for path in base.glob("*.safetensors"))
        if leftover:
            raise KajiyaError(f"{base}: {leftover[0]} stands there without config.json. Complete the folder.")
        return
    _check_base(vocabulary_size, pieces, tokenizer, base)


def _check_base(vocabulary_size: int, pieces: dict[str, int], tokenizer: Path, base: Path) -> None:
    extension = read_extension(tokenizer)
    size = extension.base_pieces if extension else vocabulary_size
    config = json.loads((base / "config.json").read_bytes())
    found = config.get("vocab_size")
    own_tokenizer = (base / "tokenizer.json").is_file()
    # Many published models pad their embeddings to a multiple of 64 or 128 rows.
    known = own_tokenizer or (base / "tokenizer.model").is_file()
    padded = known and isinstance(found, int) and found > size
    if found != size and not padded:
        raise KajiyaError(
            f"{base}/config.json: vocab_size is {found}, but the tokenizer has {size} pieces"
            f"{' before its extension' if extension else ''}. A base model can only be continued with its own "
            "vocabulary: set `tokenizer.kind: take` in the recipe, or `extend`."
        )
    ours = {(piece, i) for piece, i in pieces.items() if i < size}
    if own_tokenizer and (theirs := set(read_pieces(base).items())) != ours:
        piece = min(theirs ^ ours)[0]
        raise KajiyaError(
            f"{base}/tokenizer.json numbers its pieces otherwise than the recipe's tokenizer (for example "
            f"{piece!r}). A base model can only be continued with its own vocabulary."
        )
