"""The Prefect flow: one task per stage, begun as soon as what it needs is there."""

import queue
import time
from collections.abc import Callable
from typing import Any

from prefect import Flow, Task, flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.states import Cancelled, Completed, Failed, State
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows.graph import Stage
from flows.process import StageFailedError
from flows.walk import Outcome, Walk
from kajiya.notice import notice_seconds


def run_flow(walk: Walk, jobs: int) -> str | None:
    """Walk the graph, `jobs` stages at a time; what came of each stage stands in walk.outcomes.

    Returns the id of the flow run.
    """
    # The heartbeat thread sleeps on at the end of a flow: a second lost, for a process that a
    # person watches anyway.
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        state = _flow(walk, jobs)(return_state=True)
    if not state.is_final() or state.is_crashed() or (state.is_failed() and not walk.failed()):
        state.result()  # no failure of a stage, but of this program or of Prefect: raises
    run = state.state_details.flow_run_id
    return str(run) if run else None


def _flow(walk: Walk, jobs: int) -> Flow[[], State[None]]:
    runner: TaskRunner[Any] = ThreadPoolTaskRunner(max_workers=jobs)

    @flow(name="kajiya", task_runner=runner, validate_parameters=False)
    def pipeline() -> State[None]:
        try:
            _walk_through(walk)
        except KeyboardInterrupt:
            seconds = notice_seconds()
            walk.view.say(
                f"Stopping: what runs may take {seconds:.0f} s to save and end; Ctrl-C ends it at once."
            )
            raise
        finally:
            walk.processes.close()
        failed = walk.failed()
        return Failed(message=f"failed: {', '.join(failed)}") if failed else Completed()

    return pipeline


def _walk_through(walk: Walk) -> None:
    """Hand each stage to Prefect once its needs are met: a task that waits would hold a thread."""
    ended: queue.SimpleQueue[str] = queue.SimpleQueue()
    waiting = set(walk.graph)
    futures: dict[str, PrefectFuture[Any]] = {}
    running = 0
    while True:
        for name in walk.ready(waiting):
            stage = walk.graph[name]
            waiting.discard(name)
            futures[name] = _task(walk, stage).submit(
                wait_for=[futures[need] for need in stage.needs], return_state=False
            )
            futures[name].add_done_callback(_putter(ended, name))
            running += 1
        if not running:
            return
        name = ended.get()
        running -= 1
        if name not in walk.outcomes:
            futures[name].result()  # no failure of the stage, but of this program: raises


def _putter(ended: "queue.SimpleQueue[str]", name: str) -> Callable[[Any], None]:
    return lambda _: ended.put(name)


def _task(walk: Walk, stage: Stage) -> Task[[], State[None]]:
    attempts = iter(range(1, stage.retries + 2))
    settled: list[StageFailedError] = []

    @task(
        name=stage.name,
        task_run_name=stage.name,
        retries=stage.retries,
        retry_delay_seconds=stage.retry_delay_seconds,
        retry_condition_fn=lambda *_: not settled,
        cache_policy=NO_CACHE,
        persist_result=False,
    )
    def run_stage() -> State[None]:
        attempt = next(attempts)
        began = time.monotonic()
        try:
            outcome = walk.run(stage, get_run_logger().info)
        except StageFailedError as error:
            if walk.processes.closed:
                walk.end(stage, Outcome("stopped", time.monotonic() - began))
                return Cancelled()
            if error.settled:
                settled.append(error)
            if attempt <= stage.retries and not settled:
                walk.view.say(f"{error}\n{stage.name}: failed, trying again ({attempt} of {stage.retries})")
            else:
                walk.end(stage, Outcome("failed", time.monotonic() - began, str(error)))
            raise
        walk.end(stage, outcome)
        if outcome.state == "unchanged":
            return Completed(name="Cached", message="nothing changed")
        return Completed(message=outcome.state)

    return run_stage
