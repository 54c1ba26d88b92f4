"""Where the pages of a recipe lie, as Markdown for whatever shows a run."""

from pathlib import Path

from kajiya.report_pages.hung import artifact_address
from kajiya.report_pages.page import registered_versions


def links(recipe: str, page: Path) -> str:
    """The recipe's page, and those of its registered versions. page: as it lies on this machine."""
    lines = [
        f"# kajiya: {recipe}",
        "",
        f"- `{page}` ([file]({page.as_uri()})), again by `kajiya report {recipe}`",
    ]
    registered = registered_versions(recipe)
    for one in registered.versions:
        name = f"{one.name}/{one.version}"
        address = artifact_address(one)
        hung = f"[report.html in MLflow]({address}), again by" if address else "by"
        lines.append(f"- {name} ({one.variant}): {hung} `kajiya report {name}`")
    if registered.error:
        lines.append(f"- the registry could not be read: {registered.error}")
    return "\n".join(lines) + "\n"
