"""The whole chain, at the smallest size that runs every stage: by `kajiya run`, and by `dvc repro` under fire."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
SEED = 20260101
KILLS = 4
"""Times that the second clone's run is killed."""

SCALE = 0.1
TINY = {
    "description": "The smallest recipe that passes through every stage.",
    "sources": yaml.safe_load((ROOT / "recipes" / "smoke.yaml").read_text(encoding="utf-8"))["sources"],
    "variants": {
        "instruct": {"of": "base", "instructions": "data/sample/instructions"},
        "gptq": {"of": "instruct"},
        "awq": {"of": "instruct"},
    },
    "tokenizer": {"vocabulary_size": 1500, "check_strings": 500},
    "tokenize": {"validation_share": 0.1},
    "pretrain": {
        "model": {"hidden_size": 32, "layers": 1, "heads": 2, "context": 64, "tied_embeddings": True},
        "schedule": {"warmup_steps": 2},
        "steps": 12,
        "global_batch_sequences": 4,
        "micro_batch_sequences": 4,
        "threads_per_rank": 1,
        "save_every_steps": 4,
        "validate_every_steps": 12,
        "validation_sequences": 4,
    },
    "sft": {
        "instruct": {
            "max_tokens": 64,
            "epochs": 1,
            "batch_size": 16,
            "micro_batch_size": 16,
            "precision": "fp32",
            "threads": 1,
        }
    },
    "quantize": {
        method: {"method": method, "group_size": 8, "calibration_sequences": 4, "held_out_sequences": 4}
        for method in ("gptq", "awq")
    },
    "evaluate": {
        "choices": "cloze",
        "limit": {"jcommonsenseqa": 4, "jnli": 4, "marc_ja": 4, "jsquad": 1},
        "shots": {"jcommonsenseqa": [0], "jnli": [0], "marc_ja": [0], "jsquad": [0]},
        "perplexity_tokens": 500,
        "compare_untrained": True,
    },
    # Four items a task tell nothing.
    "gate": {
        "unjudged": "pass",
        **{kind: {"mean_drop_points": 100, "task_drop_points": 100} for kind in ("quantized", "tuned")},
    },
    "register": {},
}

pytestmark = pytest.mark.pipeline


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A clone in which `kajiya run` has made everything, and what it said."""
    root = clone(ROOT, tmp_path_factory.mktemp("first") / "kajiya")
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["sample"]["scale"] = SCALE
    write_yaml(root / "params.yaml", params)
    write_yaml(root / "recipes" / "smoke.yaml", TINY)
    git(root, "-c", "user.name=test", "-c", "user.email=test@example.org", "commit", "-qam", "Make it tiny")
    done = kajiya(root, "run")
    assert done.returncode == 0, done.stdout + done.stderr
    return root, done.stdout


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of the finished clone to change."""
    root = tmp_path / "kajiya"
    shutil.copytree(finished[0], root, symlinks=True)
    return root


def environment():
    """As a person has it: nothing set for trackers, this environment's programs first on PATH."""
    kept = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("MLFLOW_", "PREFECT_", "KAJIYA_", "PYTHONPATH"))
    }
    return {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}", "COLUMNS": "200"}


def clone(source, target):
    subprocess.run(["git", "clone", "-q", source, target], check=True)
    return target


def git(root, *words):
    subprocess.run(["git", "-C", root, *words], check=True)


def kajiya(root, *words):
    command = [sys.executable, "-m", "kajiya", *words]
    return subprocess.run(command, cwd=root, env=environment(), capture_output=True, text=True, check=False)


def write_yaml(path, content):
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def change(path, *keys, value):
    content = yaml.safe_load(path.read_text())
    place = content
    for key in keys[:-1]:
        place = place.setdefault(key, {})
    place[keys[-1]] = value
    write_yaml(path, content)


def locked(root):
    return yaml.safe_load((root / "dvc.lock").read_text())["stages"]


def states(root):
    """Stage -> state, from `kajiya status`."""
    done = kajiya(root, "status")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = done.stdout.split("\n\n")[0].splitlines()[1:]
    return {row.split()[0]: row.split()[1] for row in rows}


def outcomes(said):
    """Stage -> outcome, from the table at the end of a run."""
    rows = said[said.index("where to look") :].splitlines()[1:]
    return {
        row.split()[0]: row.split()[1]
        for row in rows
        if re.match(r"[\w-]+(@[\w-]+)?\s+(ran|restored|unchanged)", row)
    }


def test_run_from_a_clean_clone_runs_every_stage(finished):
    root, said = finished

    assert set(outcomes(said)) == set(locked(root))
    assert set(outcomes(said).values()) == {"ran"}
    assert len(locked(root)) == 26


def test_run_registers_four_versions_with_their_scores(finished):
    said = kajiya(finished[0], "status").stdout

    assert re.findall(r"kajiya-smoke/(\d)\s+(\w+)", said) == [
        ("1", "base"),
        ("2", "instruct"),
        ("3", "gptq"),
        ("4", "awq"),
    ]
    assert "jcommonsenseqa" in said


def test_run_leaves_a_lineage_down_to_the_sources(finished):
    said = kajiya(finished[0], "lineage", "kajiya-smoke/4").stdout

    for name in ("wikipedia", "c4", "diet", "files"):
        assert name in said


def test_run_writes_a_page_that_stands_alone(finished):
    page = (finished[0] / "reports" / "smoke.html").read_text(encoding="utf-8")

    assert "Not run yet" not in page
    assert "untrained" in page
    assert "kajiya-smoke/4" in page
    assert not re.search(r"""(?:src|href)=["'](?!#)""", page)


def test_run_again_does_nothing_in_seconds(finished):
    began = time.monotonic()
    done = kajiya(finished[0], "run")

    assert done.returncode == 0
    assert set(outcomes(done.stdout).values()) == {"unchanged"}
    assert "Starting Prefect" not in done.stdout
    assert time.monotonic() - began < 30


def test_run_leaves_no_path_of_its_folder_in_what_is_tracked(finished):
    root, _ = finished
    tracked = [root / out["path"] for stage in locked(root).values() for out in stage["outs"]]

    named = [
        str(file)
        for path in tracked
        for file in ([path] if path.is_file() else path.rglob("*"))
        if file.suffix in (".json", ".jsonl", ".md", ".txt") and str(root) in file.read_text(errors="replace")
    ]

    assert named == []


def test_change_of_a_corpus_setting_makes_stale_just_what_depends_on_it(copy):
    change(copy / "params.yaml", "dedupe", "threshold", value=0.7)

    found = states(copy)

    before = {name for name in found if name.partition("@")[0] in ("sample", "crawl", "clean")}
    assert {name for name, state in found.items() if state == "current"} == before
    assert {name for name, state in found.items() if state == "changed"} == {"dedupe"}


def test_change_of_a_recipe_setting_runs_just_what_depends_on_it(copy):
    change(copy / "recipes" / "smoke.yaml", "sft", "instruct", "epochs", value=4)

    found = states(copy)
    done = kajiya(copy, "run", "--until", "quantize")

    after = {"quantize", "evaluate", "gate", "register"}
    stale = {n for n in found if n.partition("@")[0] in after | {"sft"}} - {"evaluate@smoke-base"}
    assert {name for name, state in found.items() if state != "current"} == stale
    ran = {name for name, state in outcomes(done.stdout).items() if state == "ran"}
    assert ran == {"sft@smoke-instruct", "quantize@smoke-gptq", "quantize@smoke-awq"}


def test_run_with_misspelt_settings_names_them_before_any_stage_runs(copy):
    change(copy / "params.yaml", "dedupe", "treshold", value=0.7)
    change(copy / "recipes" / "smoke.yaml", "evaluate", "batchtokens", value=4)

    done = kajiya(copy, "run")

    assert done.returncode == 2
    said = done.stdout + done.stderr
    assert re.search(r"params\.yaml:\d+: dedupe\.treshold: unknown setting\. Did you mean `threshold`", said)
    assert re.search(
        r"smoke\.yaml:\d+: evaluate\.batchtokens: unknown setting\. Did you mean `batch_tokens`", said
    )
    assert "Traceback" not in said
    assert "begins" not in said


def test_repro_killed_at_random_moments_ends_in_the_same_lock(finished, tmp_path):
    """Another clone, the other door, stages in another order in time, SIGKILL in the middle of stages."""
    first, _ = finished
    second = clone(first, tmp_path / "kajiya")
    chance = random.Random(SEED)
    order = list(locked(first))
    # One in each part of the chain, in the order of work: each run gets to its victim.
    victims = [
        chance.choice(order[len(order) * k // KILLS : len(order) * (k + 1) // KILLS]) for k in range(KILLS)
    ]

    hit = [kill_during(second, victim, chance.random() * seconds(first, victim)) for victim in victims]
    done = repro(second)
    said, _ = done.communicate()

    assert done.returncode == 0, said.decode()
    assert any(hit)
    assert (second / "dvc.lock").read_bytes() == (first / "dvc.lock").read_bytes()


def repro(root):
    command = [sys.executable, "-m", "dvc", "repro"]
    return subprocess.Popen(
        command,
        cwd=root,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def seconds(root, stage):
    out = locked(root)[stage]["outs"][0]["path"].removesuffix(".report.json")
    return json.loads((root / f"{out}.run.json").read_text())["seconds"]


def kill_during(root, stage, delay):
    """Run until `stage` has worked for `delay` seconds and kill everything; False if it was done before."""
    log = root.parent / f"{stage}.log"
    with open(log, "wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "dvc", "repro"],
            cwd=root,
            env=environment(),
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        while f"Running stage '{stage}'" not in log.read_text(errors="replace"):
            assert process.poll() in (None, 0), log.read_text(errors="replace")
            if process.poll() == 0:
                return False
            time.sleep(0.1)
        time.sleep(delay)
        ended = process.poll() is not None
        for pid in {process.pid, *group_and_children(process.pid)}:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:  # it ended between the look and the kill
                continue
        process.wait()
    return not ended


def group_and_children(root_pid):
    """Every process below one: its workers may have sessions of their own."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:  # it ended while we looked
                continue
    found, stack = set(), [root_pid]
    while stack:
        current = stack.pop()
        children = [pid for pid, parent in parents.items() if parent == current]
        found.update(children)
        stack += children
    return found


def test_shrunk_recipe_runs_by_its_command_and_leaves_the_project_alone(finished, tmp_path):
    """A recipe that is not active, with an extended tokenizer; the sample's corpus comes from DVC's cache."""
    root = clone(finished[0], tmp_path / "kajiya")
    (root / ".dvc" / "config.local").write_text(f"[cache]\n    dir = {finished[0] / '.dvc' / 'cache'}\n")
    before = {name: (root / name).read_bytes() for name in ("params.yaml", "dvc.yaml")}

    done = kajiya(root, "run", "--recipe", "elyza-7b-fast", "--shrink")

    assert done.returncode == 0, done.stdout + done.stderr
    ended = outcomes(done.stdout)
    corpus = ("sample", "crawl", "clean", "dedupe", "decontaminate", "validate")
    assert {state for name, state in ended.items() if name.partition("@")[0] in corpus} == {"restored"}
    assert ended["register@elyza-7b-fast-shrunk"] == "ran"
    small = root / "shrunk" / "elyza-7b-fast"
    assert (small / "dvc.yaml").read_bytes() == before["dvc.yaml"]
    assert {name: (root / name).read_bytes() for name in before} == before
    assert not {"data", "models", "mlflow.db", "dvc.lock"} & {path.name for path in root.iterdir()}
    lineage = json.loads((small / "registered/elyza-7b-fast-shrunk/awq/lineage.json").read_bytes())
    assert lineage["shrunk"]["recipe"] == "elyza-7b-fast"
    assert lineage["code"]["commit"]
    assert lineage["code"]["dirty"] is False
    assert "current" in kajiya(root, "status", "--recipe", "elyza-7b-fast", "--shrink").stdout
