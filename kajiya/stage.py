"""Run one stage from the command line: `python -m components.<stage> [--params FILE] IN... OUT`.

A stage is a function `run(config, *inputs, out) -> Report`. This module finds its settings, checks
its inputs, gives it a private folder to write into and publishes that folder in one rename, so a
stage killed at any moment leaves the old output or none.
"""

import fcntl
import inspect
import json
import resource
import shutil
import sys
import time
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import xxhash

from kajiya.errors import KajiyaError, disk_error
from kajiya.report import Report
from kajiya.settings import load_settings
from kajiya.settings_docs import class_text
from kajiya.shards import count_by_source, write_file


def main(run: Callable[..., Report], keyed: bool = False) -> None:
    """Entry point of every `components/<stage>/__main__.py`.

    keyed: the stage's section holds one entry per item, and the last part of OUT names the item
    (`data/clean/wikipedia` takes its settings from `clean.wikipedia`).
    """
    stage = run.__module__.split(".")[1]
    paths: list[Path] = [Path()]
    try:
        params, paths = _parse(stage, run, keyed, sys.argv[1:])
        *inputs, out = paths
        section = [stage, out.name] if keyed else [stage]
        config = load_settings(typing.get_type_hints(run, include_extras=True)["config"], params, section)
        execute(run, config, inputs, out)
    except KajiyaError as error:
        sys.exit(f"error: {stage}: {error}")
    except OSError as error:
        told = disk_error(error, paths[-1])
        if told is None:
            raise
        sys.exit(f"error: {stage}: {told}")


def execute(run: Callable[..., Report], config: Any, inputs: list[Path], out: Path) -> Report:
    """Run a stage and publish its output folder and its two reports.

    `OUT.report.json` is the same for the same inputs and settings (DVC tracks it); `OUT.run.json`
    says what this one run took (untracked). A stage that takes a keyword `work` gets a folder that
    survives a crash, and is emptied when settings or inputs are others than when it was begun. One
    that takes `pages` gets the path OUT.pages, for HTML that a person opens: untracked, and kept when
    the stage fails.
    """
    if out.is_file():  # a slip of the hand: publishing would put the output in its place
        raise KajiyaError(f"{out}: a file. OUT is the folder to write: name another.")
    for path in inputs:
        if not path.exists():
            raise KajiyaError(f"{path}: no such input. Run the stage that writes it first (`kajiya run`).")
    started = time.monotonic()
    with _alone(out):
        return _execute(run, config, inputs, out, started)


def _execute(
    run: Callable[..., Report], config: Any, inputs: list[Path], out: Path, started: float
) -> Report:
    staging = out.parent / ".partial" / out.name
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    extra = {}
    if "work" in inspect.signature(run).parameters:
        extra["work"] = _work_folder(out, config, inputs)
    if "pages" in inspect.signature(run).parameters:
        extra["pages"] = out.parent / f"{out.name}.pages"
    try:
        report = run(config, *inputs, out=staging, **extra)
        report.check()
        _check_rows(report, staging)
        _publish(staging, out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    write_file(beside(out, "report"), _json(report.model_dump(mode="json")))
    write_file(beside(out, "run"), _json(_run_record(started)))
    if "work" in extra:
        _empty(extra["work"])
    return report


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold the output: where DVC was killed its stage may live on, and two must not write at once."""
    lock = out.parent / ".work" / f"{out.name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open(lock, "ab") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(
                f"{out}: another process still writes it; waiting for its end.", file=sys.stderr, flush=True
            )
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def beside(out: Path, kind: str) -> Path:
    """Path of the JSON file beside a stage's output; kind is "report" or "run"."""
    return out.parent / f"{out.name}.{kind}.json"


def _check_rows(report: Report, out: Path) -> None:
    """Raise KajiyaError unless the shards hold what the report counts: it could be wrong and still add up."""
    if not any(out.glob("part-*.parquet")):
        return
    for name, folder, counted in (
        ("out", out, {source: flow.out for source, flow in report.flows.items()}),
        ("rejected", out / "rejected", {s: flow.rejected.total() for s, flow in report.flows.items()}),
    ):
        written = count_by_source(folder)
        for source in sorted(written.keys() | counted):
            if written[source] != counted.get(source, 0):
                raise KajiyaError(
                    f"{source}: the report counts {counted.get(source, 0)} documents {name}, the shards hold "
                    f"{written[source]}. This is a defect of the stage; its output was not published."
                )


def _publish(staging: Path, out: Path) -> None:
    """Put the new output in the place of the old one, which is moved away whole: never half of it is there."""
    old = staging.with_name(f"{out.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    for kind in ("report", "run"):  # they told of the old output
        beside(out, kind).unlink(missing_ok=True)
    if out.exists():
        out.replace(old)
    staging.replace(out)
    shutil.rmtree(old, ignore_errors=True)


def _work_folder(out: Path, config: Any, inputs: list[Path]) -> Path:
    work = out.parent / ".work" / out.name
    identity = _identity(config, inputs)
    record = work / "identity"
    if not record.exists() or record.read_text() != identity:
        _empty(work)
        write_file(record, identity)
    return work


def _empty(work: Path) -> None:
    """Remove the folder, its identity first: what a kill leaves half removed is not continued from."""
    (work / "identity").unlink(missing_ok=True)
    shutil.rmtree(work, ignore_errors=True)


def _identity(config: Any, inputs: list[Path]) -> str:
    digest = xxhash.xxh3_128(config.model_dump_json().encode())
    for path in inputs:
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        for file in files:
            digest.update(str(file.relative_to(path)).encode())
            with open(file, "rb") as handle:
                while block := handle.read(1 << 22):
                    digest.update(block)
    return digest.hexdigest()


def _run_record(started: float) -> dict[str, Any]:
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "seconds": round(time.monotonic() - started, 3),
        "cpu_seconds": round(sum(one.ru_utime + one.ru_stime for one in usage), 3),
        "peak_memory_bytes": max(one.ru_maxrss for one in usage) * 1024,  # Linux counts in KiB
    }


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n"


def _parse(stage: str, run: Callable[..., Report], keyed: bool, argv: list[str]) -> tuple[Path, list[Path]]:
    signature = inspect.signature(run).parameters.values()
    named = [p.name for p in signature if p.kind is p.POSITIONAL_OR_KEYWORD][1:]
    names = [*(name.upper() for name in named), "OUT"]
    usage = f"usage: python -m components.{stage} [--params FILE] {' '.join(names)}"
    if "-h" in argv or "--help" in argv:
        section = f"{stage}.<last part of OUT>" if keyed else stage
        document = inspect.getdoc(sys.modules[run.__module__]) or ""
        settings = class_text(typing.get_type_hints(run, include_extras=True)["config"])
        print(
            f"{usage}\n\n{document}\n\nSettings: section `{section}` of FILE (default: params.yaml).\n\n{settings}"
        )
        sys.exit(0)
    params = Path("params.yaml")
    if argv[:1] == ["--params"] and len(argv) > 1:
        params, argv = Path(argv[1]), argv[2:]
    elif argv and argv[0].startswith("--params="):
        params, argv = Path(argv[0].removeprefix("--params=")), argv[1:]
    unknown = [word for word in argv if word.startswith("-")]
    if unknown:
        raise KajiyaError(f"unknown option {unknown[0]}: settings are never flags, edit {params}.\n{usage}")
    if len(argv) != len(names):
        raise KajiyaError(f"expected {len(names)} paths, found {len(argv)}.\n{usage}")
    return params, [Path(word) for word in argv]
