"""Where a version's page, and the small files it is made from, hang in the registry."""

from pathlib import Path

from kajiya.registered_version import RegisteredVersion
from kajiya.registry import connect, reachable, shown_uri

PAGE_TAG = "kajiya.report"
"""Tag of a version that names its page."""
PAGE, RECORDS = "report.html", "reports"
"""Of a version's run: the page, and the folder with what it is made from."""


def fetch_records(one: RegisteredVersion, folder: Path) -> Path:
    """Download what a version's page is made from into `folder`; returns where its records lie."""
    client = connect()
    with reachable():
        if not client.list_artifacts(one.run_id, RECORDS):
            (folder / RECORDS).mkdir(parents=True, exist_ok=True)
            return folder / RECORDS
        return Path(client.download_artifacts(one.run_id, RECORDS, str(folder)))


def artifact_address(one: RegisteredVersion, file: str = PAGE) -> str:
    """Where MLflow shows a file of a version to a person; empty where the registry is no server."""
    uri = shown_uri()
    return (
        f"{uri.rstrip('/')}/{artifact_link(one.experiment_id, one.run_id, file)}"
        if uri.startswith("http")
        else ""
    )


def artifact_link(experiment_id: str, run_id: str, file: str = PAGE) -> str:
    """The same within MLflow's pages, whatever the server's address."""
    return f"#/experiments/{experiment_id}/runs/{run_id}/artifacts/{file}"
