"""Run one stage from the command line: `python -m components.<stage> [--params FILE] IN... OUT`.

A stage is a function `run(config, *inputs, out) -> Report`. This module finds its settings, checks
its inputs, gives it a private folder to write into and publishes that folder in one rename, so a
stage killed at any moment leaves the old output or none.
"""

import inspect
import json
import shutil
import sys
import time
import typing
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from kajiya.errors import MEND_FIRST, TRY_AGAIN, KajiyaError, PassingError, disk_error
from kajiya.ledger import Ledger
from kajiya.report import Report
from kajiya.run_record import hour_price, run_record
from kajiya.settings import load_settings
from kajiya.settings_docs import class_text
from kajiya.shards import count_by_source, write_file
from kajiya.storage import (
    fetch,
    is_remote,
    parse_path,
    publishing,
    reaching,
    remove,
    replace_by,
    require_whole,
)
from kajiya.workplace import (
    alone,
    beside,
    cache_folder,
    empty,
    identity_by_content,
    identity_by_listing,
    refuse_foreign,
    scratch_folder,
    work_folder,
)

__all__ = ["beside", "execute", "main"]


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
        print(f"error: {stage}: {error}", file=sys.stderr)
        sys.exit(TRY_AGAIN if isinstance(error, PassingError) else MEND_FIRST)
    except OSError as error:
        told = disk_error(error, paths[-1])
        if told is None:
            raise
        print(f"error: {stage}: {told}", file=sys.stderr)
        sys.exit(MEND_FIRST)


def execute(run: Callable[..., Report], config: Any, inputs: list[Path], out: Path) -> Report:
    """Run a stage and publish its output folder and its two reports.

    `OUT.report.json` is the same for the same inputs and settings (DVC tracks it); `OUT.run.json`
    says what this one run took (untracked). Keywords by which a stage asks for more:

    work: a folder that survives a crash, and is emptied when settings or inputs are others than when
        it was begun; `Settings.free` names settings that do not count, `Settings.precious` what is rather refused.
    ledger: for a stage that maps one function over shards by `map_shards(..., ledger)`: finished
        shards survive a crash, and lie on S3 where OUT does. It gets paths on S3 as they are; any
        other stage gets copies on this disk.
    cache: a folder that outlives OUT and is never emptied, so what lies there must be named by all
        that it depends on: .cache/<OUT> beside OUT, or below KAJIYA_CACHE.
    pages: the path OUT.pages, for HTML that a person opens: untracked, and kept when the stage fails.
    """
    hour_price()  # a slip in it is told now, not after weeks
    for path in inputs:
        with reaching(path):
            if not path.exists():
                raise KajiyaError(
                    f"{path}: no such input. Run the stage that writes it first (`kajiya run`)."
                )
        require_whole(path)
    refuse_foreign(out)
    started = time.monotonic()
    with alone(out):
        if "ledger" not in _keywords(run) and any(is_remote(path) for path in (*inputs, out)):
            return _execute_on_copies(run, config, inputs, out)
        return _execute(run, config, inputs, out, started)


def _execute(
    run: Callable[..., Report], config: Any, inputs: list[Path], out: Path, started: float
) -> Report:
    staging, extra = _places(run, config, inputs, out)
    try:
        # Several checkouts may share a cache.
        with alone(extra["cache"]) if "cache" in extra else nullcontext():
            report = run(config, *inputs, out=staging, **extra)
        report.check()
        _check_rows(report, staging)
        if "ledger" in extra and extra["ledger"].identity != _identity(run, config, inputs):
            raise KajiyaError(f"{inputs[0]}: changed while it was read. Run again when nobody writes it.")
        _publish(report, staging, out, started)
    finally:
        if "ledger" not in extra:
            remove(staging)
    if {"work", "ledger"} & extra.keys():
        empty(out.parent / ".work" / out.name)
    return report


def _places(
    run: Callable[..., Report], config: Any, inputs: list[Path], out: Path
) -> tuple[Path, dict[str, Any]]:
    """Where the output grows, and the further arguments that a stage asks for."""
    staging = out.parent / ".partial" / out.name
    asked = _keywords(run)
    extra: dict[str, Any] = {}
    if "pages" in asked:
        extra["pages"] = out.parent / f"{out.name}.pages"
    if "cache" in asked:
        extra["cache"] = cache_folder(out)
    if {"work", "ledger"} & asked:
        identity = _identity(run, config, inputs)
        work = work_folder(out, identity, config.precious)
        if "work" in asked:
            extra["work"] = work
        else:
            staging = work / "out"
            if not staging.exists():  # published, and killed before the ledger was removed
                remove(work / "ledger")
            extra["ledger"] = Ledger(work / "ledger", identity)
    if "ledger" not in extra:
        remove(staging)
    staging.mkdir(parents=True, exist_ok=True)
    return staging, extra


def _identity(run: Callable[..., Report], config: Any, inputs: list[Path]) -> str:
    if "ledger" in _keywords(run):
        return identity_by_listing(config, inputs, run.__module__)
    signature = inspect.signature(run).parameters.values()
    names = [p.name for p in signature if p.kind is p.POSITIONAL_OR_KEYWORD][1:]
    return identity_by_content(config, dict(zip(names, inputs, strict=True)))


def _keywords(run: Callable[..., Report]) -> set[str]:
    return {p.name for p in inspect.signature(run).parameters.values() if p.kind is p.KEYWORD_ONLY}


def _execute_on_copies(run: Callable[..., Report], config: Any, inputs: list[Path], out: Path) -> Report:
    """For a stage that works on whole folders: copy from S3, run, copy to S3. A crash keeps its `work`."""
    scratch = scratch_folder(out)
    remove(scratch / "inputs")
    local = [
        fetch(path, scratch / "inputs" / str(number) / path.name) if is_remote(path) else path
        for number, path in enumerate(inputs)
    ]
    made = scratch / "out" / out.name if is_remote(out) else out
    started = time.monotonic()
    with alone(made) if made != out else nullcontext():
        report = _execute(run, config, local, made, started)
    if made != out:
        _publish(report, made, out, started)
        pages = made.parent / f"{out.name}.pages"
        if pages.exists():
            replace_by(pages, out.parent / pages.name)
    remove(scratch)
    return report


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


def _publish(report: Report, staging: Path, out: Path, started: float) -> None:
    """Put the new output in the place of the old one, and its reports beside it, the tracked one last."""
    with publishing(out) if is_remote(out) else nullcontext():
        for kind in ("report", "run"):  # they told of the old output
            beside(out, kind).unlink(missing_ok=True)
        if is_remote(out):
            replace_by(staging, out)
        else:
            _swap(staging, out)
        told = _json(report.model_dump(mode="json"))
        write_file(beside(out, "run"), _json(run_record(started, told)))
        write_file(beside(out, "report"), told)


def _swap(staging: Path, out: Path) -> None:
    """The old output is moved away whole: never half of it is there."""
    old = out.parent / ".partial" / f"{out.name}.old"
    old.parent.mkdir(exist_ok=True)
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.replace(old)
    staging.replace(out)
    shutil.rmtree(old, ignore_errors=True)


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
    return params, [parse_path(word) for word in argv]
