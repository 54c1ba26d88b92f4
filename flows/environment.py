"""How Prefect behaves inside `kajiya run`: no analytics, no second log on the terminal."""

import os
from pathlib import Path

import httpx

from kajiya.errors import KajiyaError


def prepare(root: Path) -> None:
    """Set what Prefect reads from the environment on its import, and check that its server answers.

    What a person set, stays.
    """
    # Without a server Prefect starts one for the run. Its database stays in the clone: runs in two
    # clones must not lock each other out.
    database = root.resolve() / ".dvc" / "tmp" / "prefect.db"
    defaults = {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # the view shows the same, shorter
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300",  # 20 by default: too few on a busy machine
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{database}",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    if url := server_url():
        _check(url)


def server_url() -> str | None:
    """Address of the Prefect server to report to: PREFECT_API_URL, or the active profile's."""
    from prefect.settings import get_current_settings  # noqa: PLC0415  (after prepare)

    return get_current_settings().api.url


def _check(url: str) -> None:
    try:
        httpx.get(f"{url.rstrip('/')}/health", timeout=5).raise_for_status()
    except httpx.HTTPError as error:
        raise KajiyaError(
            f"the Prefect server at {url} does not answer ({error}). Start it with `prefect server start`, "
            "or unset PREFECT_API_URL to run without one."
        ) from None
