"""What a run leads to, as an artifact that Prefect shows on the run's page."""

import re
from uuid import UUID

import httpx


def link(flow_run: str, key: str, markdown: str) -> str:
    """Hang Markdown on a flow run. Returns what went wrong, in a sentence: no run fails for a link."""
    from prefect.client.orchestration import get_client  # noqa: PLC0415  (reads the environment when imported)
    from prefect.client.schemas.actions import ArtifactCreate  # noqa: PLC0415  (as above)
    from prefect.exceptions import PrefectHTTPStatusError  # noqa: PLC0415  (as above)

    artifact = ArtifactCreate(
        key=re.sub("[^a-z0-9]+", "-", key.lower()).strip("-"),  # all that Prefect takes
        type="markdown",
        data=markdown,
        flow_run_id=UUID(flow_run),
    )
    try:
        with get_client(sync_client=True) as client:
            client.create_artifact(artifact)
    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
        return f"the report could not be linked from the run in Prefect ({error})."
    return ""
