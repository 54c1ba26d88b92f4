"""The walk, on a small real pipeline: Python stages of a few lines under the real DVC and Prefect."""

import asyncio
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from flows.graph import Stage, open_repo, read_graph, select
from flows.process import Processes, _only_zombies, jobs
from kajiya.errors import KajiyaError
from kajiya.notice import notice_seconds

ROOT = Path(__file__).parent.parent

STAGE = """
import pathlib, sys, time
name, *inputs, out = sys.argv[1:]
here = pathlib.Path("control")
print(f"{name} says 鍛冶", flush=True)
(here / f"{name}.began").touch()
if (here / f"{name}.sleep").exists():
    time.sleep(60)
if (here / f"{name}.meet").exists():  # ends once the other has begun too
    other = here / (here / f"{name}.meet").read_text()
    for _ in range(600):
        if other.exists():
            break
        time.sleep(0.05)
    else:
        sys.exit(f"error: {name}: {other} never came")
if (here / f"{name}.fail").exists():
    kind = (here / f"{name}.fail").read_text()
    if kind in ("once", "for good"):
        (here / f"{name}.fail").unlink()
    if kind == "for good":
        print(f"error: {name}: the iron is clay", file=sys.stderr)
        sys.exit(2)
    sys.exit(f"error: {name}: no iron in the fire\\nput some in")
words = "".join(pathlib.Path(path).read_text() for path in inputs)
pathlib.Path(out).write_text(words.upper())
"""

PIPELINE = """
stages:
  ore: {cmd: python stage.py ore in.txt ore.txt, deps: [in.txt], outs: [ore.txt]}
  heat:
    foreach: [left, right]
    do:
      cmd: python stage.py ${item} ore.txt ${item}.txt
      deps: [ore.txt]
      outs: ["${item}.txt"]
      meta: {retries: 1}
  join: {cmd: python stage.py join left.txt right.txt join.txt, deps: [left.txt, right.txt], outs: [join.txt]}
  polish: {cmd: python stage.py polish join.txt polish.txt, deps: [join.txt], outs: [polish.txt]}
"""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A project where nothing has run, to copy."""
    root = tmp_path_factory.mktemp("fresh") / "project"
    (root / "control").mkdir(parents=True)
    (root / "stage.py").write_text(STAGE)
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / "in.txt").write_text("iron")
    dvc(root, "init", "--no-scm", "--quiet")
    (root / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    return root


@pytest.fixture(scope="module")
def walked(fresh, prefect_server, tmp_path_factory):
    """A project where everything has run once, to copy, and what was said then."""
    root = tmp_path_factory.mktemp("walked") / "project"
    shutil.copytree(fresh, root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        ending, said = walk()
    assert ending.status == 0
    return root, said


@pytest.fixture
def project(fresh, tmp_path, monkeypatch):
    root = tmp_path / "project"
    shutil.copytree(fresh, root)
    monkeypatch.chdir(root)
    monkeypatch.setenv("KAJIYA_JOBS", "2")
    return root


@pytest.fixture
def done(walked, tmp_path, monkeypatch):
    root = tmp_path / "project"
    shutil.copytree(walked[0], root)
    monkeypatch.chdir(root)
    return root


@pytest.fixture(scope="module")
def prefect_server():
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=300):
        yield


def with_our_python():
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def dvc(root, *words):
    subprocess.run(
        [sys.executable, "-m", "dvc", *words],
        cwd=root,
        check=True,
        env=with_our_python(),
        capture_output=True,
    )


def walk(until=None):
    """Run the pipeline of the current folder; returns the ending and all it printed."""
    from flows.run import run

    said = io.StringIO()
    ending = run(None, until, Console(file=said, width=120))
    return ending, said.getvalue()


def states(text):
    """Stage -> state, from the table at the end."""
    rows = text[text.index("stage ") :].splitlines()[1:]
    table = {}
    for row in rows:
        if not row.strip():
            break
        name, *rest = row.split()
        table[name] = "not run" if rest[:2] == ["not", "run"] else rest[0]
        if name == "polish":
            break
    return table


@pytest.mark.usefixtures("prefect_server")
class TestWalk:
    def test_walk_of_a_new_project_runs_every_stage(self, walked):
        root, said = walked

        assert states(said) == dict.fromkeys(["ore", "heat@left", "heat@right", "join", "polish"], "ran")
        assert (root / "polish.txt").read_text() == "IRONIRON"
        assert "鍛冶" in (root / "logs" / "heat@left.log").read_text()

    def test_walk_again_starts_no_process_and_is_seen_in_prefect_as_cached(self, done):
        shutil.rmtree(done / "logs")

        ending, said = walk()

        assert (ending.status, ending.moved) == (0, False)
        assert set(states(said).values()) == {"unchanged"}
        assert not (done / "logs").exists()
        tasks, _ = asyncio.run(newest_flow_run())
        assert set(tasks.values()) == {"Cached"}

    def test_page_hangs_on_the_run_as_markdown_with_a_key_that_prefect_takes(self, done):
        from prefect.client.orchestration import get_client
        from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

        from flows.links import link

        ending, _ = walk()

        assert link(ending.flow_run, "kajiya-report-ELYZA_7b.1", "# report of 鍛冶屋") == ""
        of_this_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[ending.flow_run]))
        with get_client(sync_client=True) as client:
            (found,) = client.read_artifacts(artifact_filter=of_this_run)
        assert (found.key, found.type, found.data) == (
            "kajiya-report-elyza-7b-1",
            "markdown",
            "# report of 鍛冶屋",
        )

    def test_page_that_cannot_be_hung_is_told_and_is_no_failure(self, done):
        from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

        from flows.links import link

        ending, _ = walk()
        with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}):
            assert "could not be linked" in link(ending.flow_run, "page", "# page")

    def test_walk_runs_independent_stages_at_the_same_time(self, project):
        (project / "control" / "left.meet").write_text("right.began")
        (project / "control" / "right.meet").write_text("left.began")

        ending, _ = walk(until="heat")

        assert ending.status == 0

    def test_walk_after_an_output_was_changed_by_hand_makes_that_one_anew(self, done):
        (done / "left.txt").unlink()
        (done / "left.txt").write_text("copper")

        _, said = walk()

        assert states(said)["ore"] == "unchanged"
        assert states(said)["heat@left"] in ("ran", "restored")
        assert states(said)["heat@right"] == "unchanged"
        assert states(said)["join"] == "unchanged"
        assert (done / "left.txt").read_text() == "IRON"

    def test_walk_where_a_stage_gives_the_same_bytes_leaves_the_rest_unchanged(self, done):
        (done / "in.txt").write_text("Iron")  # upper case is the same

        _, said = walk()

        assert states(said) == {
            "ore": "ran",
            "heat@left": "unchanged",
            "heat@right": "unchanged",
            "join": "unchanged",
            "polish": "unchanged",
        }

    def test_walk_with_a_failure_finishes_the_rest_shows_it_in_prefect_and_continues(self, project):
        (project / "control" / "left.fail").write_text("always")

        ending, said = walk()

        assert ending.status == 1
        tasks, lines = asyncio.run(newest_flow_run())
        assert tasks == {"ore": "Completed", "heat@left": "Failed", "heat@right": "Completed"}
        assert any("right says 鍛冶" in line for line in lines)
        assert states(said) == {
            "ore": "ran",
            "heat@left": "failed",
            "heat@right": "ran",
            "join": "not run",
            "polish": "not run",
        }
        assert "error: left: no iron in the fire\nput some in\n" in said
        assert "logs/heat@left.log" in said
        assert "kajiya run" in said
        assert "Traceback" not in said

        (project / "control" / "left.fail").unlink()
        ending, said = walk()
        assert ending.status == 0
        assert states(said)["heat@right"] == "unchanged"
        assert states(said)["polish"] == "ran"

    def test_walk_retries_a_stage_whose_meta_says_so(self, project):
        (project / "control" / "right.fail").write_text("once")

        ending, said = walk(until="heat")

        assert ending.status == 0
        assert states(said)["heat@right"] == "ran"
        assert "trying again" in said

    def test_walk_does_not_retry_what_a_person_must_mend(self, project):
        (project / "control" / "right.fail").write_text("for good")

        ending, said = walk(until="heat")

        assert ending.status == 1
        assert "the iron is clay" in said
        assert "trying again" not in said

    def test_walk_does_not_retry_a_stage_whose_meta_is_silent(self, project):
        (project / "control" / "ore.fail").write_text("once")

        ending, said = walk()

        assert ending.status == 1
        assert states(said)["ore"] == "failed"

    def test_walk_until_a_stage_leaves_the_rest_alone(self, project):
        _, said = walk(until="heat")

        assert list(states(said)) == ["ore", "heat@left", "heat@right"]
        assert not (project / "join.txt").exists()

    def test_walk_leaves_the_lock_that_dvc_repro_leaves(self, project, tmp_path):
        other = tmp_path / "other"
        shutil.copytree(project, other)
        # The stage that stands first ends last: DVC appends them the other way round.
        (project / "control" / "left.meet").write_text("../right.txt")

        walk(until="heat")
        dvc(other, "repro", "heat@left", "heat@right")

        assert (project / "dvc.lock").read_bytes() == (other / "dvc.lock").read_bytes()


async def newest_flow_run():
    """Task states by name, and the log lines, of the last flow run; waits for what is on its way."""
    from prefect import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, LogFilter, LogFilterFlowRunId
    from prefect.client.schemas.sorting import FlowRunSort

    async with get_client() as client:
        for _ in range(100):
            (run,) = await client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)
            only = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
            tasks = await client.read_task_runs(flow_run_filter=only)
            logs = await client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id])))
            # Lines come in batches, seconds later; the flow's own last word comes after all others.
            told = any(log.task_run_id is None and "Finished in state" in log.message for log in logs)
            if told and tasks and all(task.state and task.state.is_final() for task in tasks):
                break
            await asyncio.sleep(0.2)
        return {task.name: task.state.name for task in tasks}, [log.message for log in logs]


STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
SAVING = """
import signal, sys, time
def save(*_):
    time.sleep(0.5)
    open(sys.argv[1], "w").close()
    sys.exit()
signal.signal(signal.SIGTERM, save)
print("up", flush=True)
time.sleep(600)
"""


def close_with(script, *arguments) -> subprocess.Popen:
    """A process group that runs as a stage, which `Processes.close` then ends."""
    child = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], start_new_session=True, stdout=subprocess.PIPE
    )
    child.stdout.readline()
    processes = Processes(ROOT)
    processes._running["forge"] = child
    processes.close()
    child.wait()
    return child


def test_stage_told_to_stop_has_the_time_of_a_notice_to_save(tmp_path, monkeypatch):
    monkeypatch.delenv("KAJIYA_NOTICE_SECONDS", raising=False)
    waits = []
    monkeypatch.setattr("flows.process.notice_seconds", lambda: waits.append(notice_seconds()) or waits[-1])
    assert close_with(SAVING, tmp_path / "saved").returncode == 0
    assert (tmp_path / "saved").exists()
    assert waits == [110]


def test_stage_that_does_not_heed_is_killed_after_the_notice_or_at_a_second_interrupt(monkeypatch):
    monkeypatch.setenv("KAJIYA_NOTICE_SECONDS", "1")
    assert close_with(STUBBORN).returncode == -signal.SIGKILL

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setenv("KAJIYA_NOTICE_SECONDS", "600")
    monkeypatch.setattr("flows.process.time.sleep", interrupt)
    assert close_with(STUBBORN).returncode == -signal.SIGKILL


def test_group_of_zombies_alone_has_ended():
    group = subprocess.Popen([sys.executable, "-c", ""], start_new_session=True)
    os.waitid(os.P_PID, group.pid, os.WEXITED | os.WNOWAIT)  # ended, and nobody has asked for its status
    assert _only_zombies(group.pid)
    assert not _only_zombies(os.getpgrp())
    group.wait()


def test_notice_of_no_number_names_the_variable(monkeypatch):
    monkeypatch.setenv("KAJIYA_NOTICE_SECONDS", "2m")
    with pytest.raises(KajiyaError, match="KAJIYA_NOTICE_SECONDS='2m' in the environment: set it to whole"):
        notice_seconds()


def test_run_without_a_server_and_outside_an_environment_works_and_ends_children_on_sigterm(project):
    """One process as a person starts it: no Prefect server, no `python` of ours on PATH."""
    (project / "control" / "join.sleep").touch()
    environment = {**os.environ, "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    environment.pop("PREFECT_API_URL", None)
    script = "import sys; from rich.console import Console; from flows.run import run; sys.exit(run(None, None, Console()).status)"
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=project, env=environment, stdout=subprocess.PIPE, text=True
    )
    wait_for(project / "control" / "join.began")

    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=120)

    assert process.returncode == 130
    assert states(said) == {
        "ore": "ran",
        "heat@left": "ran",
        "heat@right": "ran",
        "join": "stopped",
        "polish": "not run",
    }
    assert not processes_with("stage.py join", project)


def wait_for(path, seconds=300):
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.05)


def processes_with(words, folder):
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if words in command and (entry / "cwd").resolve() == folder:
                    found.append(command)
            except OSError:  # it ended while we looked
                continue
    return found


def stage(name, needs=(), reads=()):
    return Stage(name, frozenset(needs), None, frozenset(reads))


GRAPH = {
    one.name: one
    for one in [
        stage("crawl@a"),
        stage("crawl@b"),
        stage("clean", ["crawl@a", "crawl@b"]),
        stage("train@small", ["clean"], ["recipes/small.yaml"]),
        stage("train@large", ["clean"], ["recipes/large.yaml"]),
        stage("other", ["crawl@b"]),
    ]
}


def test_select_a_recipe_gives_its_stages_and_what_they_stand_on():
    assert list(select(GRAPH, "small")) == ["crawl@a", "crawl@b", "clean", "train@small"]


def test_select_until_one_item_leaves_the_others_out():
    assert list(select(GRAPH, until="crawl@b")) == ["crawl@b"]


def test_select_until_a_name_takes_all_its_items_of_the_recipe():
    assert list(select(GRAPH, "small", "train"))[-1] == "train@small"


@pytest.mark.parametrize(
    ("recipe", "until", "words"),
    [
        ("smal", None, "Did you mean small"),
        (None, "clea", "Did you mean clean"),
        ("small", "other", "no part of recipe `small`"),
    ],
)
def test_select_of_an_unknown_name_says_what_there_is(recipe, until, words):
    with pytest.raises(KajiyaError, match=words):
        select(GRAPH, recipe, until)


def test_select_of_a_recipe_that_is_not_active_says_how_to_make_it_so(tmp_path, monkeypatch):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "tiny.yaml").touch()
    monkeypatch.chdir(tmp_path)

    with pytest.raises(KajiyaError, match="not active: `kajiya recipes add tiny`"):
        select(GRAPH, "tiny")


def test_graph_of_a_retry_that_is_no_number_names_stage_and_key(project):
    (project / "dvc.yaml").write_text(PIPELINE.replace("retries: 1", "retries: often"))

    with open_repo(project) as repo, pytest.raises(KajiyaError, match=r"heat@left: meta\.retries.*'often'"):
        read_graph(repo)


def test_graph_of_a_broken_file_says_what_dvc_finds_wrong(project):
    (project / "dvc.yaml").write_text("stages:\n  ore: {cmd: [}\n")

    with pytest.raises(KajiyaError, match=r"dvc\.yaml"), open_repo(project) as repo:
        read_graph(repo)


def test_jobs_of_no_number_names_the_variable(monkeypatch):
    monkeypatch.setenv("KAJIYA_JOBS", "many")

    with pytest.raises(KajiyaError, match="KAJIYA_JOBS='many'"):
        jobs()


def test_prepare_with_a_server_that_is_down_names_it(monkeypatch, tmp_path):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.environment import prepare

    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}),
        pytest.raises(KajiyaError, match=r"http://127\.0\.0\.1:9/api does not answer"),
    ):
        prepare(tmp_path)


def test_status_of_a_project_names_what_changed_and_what_waits(done):
    from flows.states import stage_states

    (done / "stage.py").write_text("# no dependency of any stage\n")
    (done / "in.txt").write_text("copper")

    found = {one.name: (one.state, one.reason) for one in stage_states(done)}

    assert found["ore"] == ("changed", "in.txt modified")
    assert found["heat@left"] == ("waiting", "for ore")
    assert found["polish"] == ("waiting", "for join")


def test_status_of_a_project_where_nothing_ran_says_never(project):
    from flows.states import stage_states

    assert {one.state for one in stage_states(project)} == {"never"}


def test_status_while_a_stage_runs_says_running_for_that_one_alone(project):
    from flows.states import stage_states

    (project / "control" / "ore.sleep").touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro"], cwd=project, env=with_our_python(), start_new_session=True
    )
    try:
        wait_for(project / "control" / "ore.began")
        found = {one.name: one.state for one in stage_states(project)}
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    assert found == {
        "ore": "running",
        "heat@left": "never",
        "heat@right": "never",
        "join": "never",
        "polish": "never",
    }
