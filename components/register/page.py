"""The page of a version, hung on it in MLflow."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from kajiya.lineage import Lineage
from kajiya.registry import PREFIX, reachable, read_version
from kajiya.report_pages import version_page
from kajiya.report_pages.hung import PAGE
from kajiya.report_pages.records import of_lineage
from kajiya.shards import write_file

if TYPE_CHECKING:
    from mlflow import MlflowClient


def publish_page(client: "MlflowClient", lineage: Lineage, number: int, records: Path) -> None:
    """Upload report.html, unless it is there: it names the version, so it comes after it, and a kill may come between.

    records: folder with what the version keeps for its page.
    """
    version = read_version(client, PREFIX + lineage.recipe, number)
    with reachable():
        if any(file.path == PAGE for file in client.list_artifacts(version.run_id)):
            return
    html = version_page(of_lineage(records, lineage), version)
    with tempfile.TemporaryDirectory(prefix="kajiya-page-") as folder, reachable():
        write_file(Path(folder) / PAGE, html)
        client.log_artifact(version.run_id, str(Path(folder) / PAGE))
