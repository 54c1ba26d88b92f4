"""The model registry, read: versions with their scores and tags, and the lineage of one.

The only module beside components.register that knows MLflow; it is imported when first needed,
because the import takes seconds.
"""

import fcntl
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from kajiya.errors import KajiyaError, without_passwords
from kajiya.lineage import Lineage
from kajiya.registered_version import RegisteredVersion, parse_version

if TYPE_CHECKING:
    from mlflow import MlflowClient

DATABASE = "mlflow.db"
_SQLITE = "sqlite:///"
PREFIX = "kajiya-"
LINEAGE_TAG = "kajiya.lineage"
EVALUATION, JUDGEMENTS = "evaluation", "judgements"
"""Folders of a run with copies of what its variant was measured by."""

# A server that is down shall be an error within seconds (the defaults retry for minutes), nothing is
# reported to anyone, and a lineage of a few kilobytes needs no progress bar.
_CLIENT_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def tracking_uri() -> str:
    """Where the registry is: MLFLOW_TRACKING_URI, or a SQLite file in the project's folder."""
    # Absolute: MLflow keeps its connection by address, also when the current folder is another one.
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{_SQLITE}{Path.cwd() / DATABASE}"


def shown_uri() -> str:
    """The registry's address for messages, logs and pages: without the password it may hold."""
    return without_passwords(tracking_uri())


def how_to_open() -> str:
    """What a person opens, or starts, to look into the registry."""
    uri = shown_uri()
    if uri.startswith("http"):
        return uri
    return f"MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false mlflow server --backend-store-uri {uri} --workers 1"


def registry_exists() -> bool:
    """False when the registry is a SQLite file that nobody has written yet."""
    uri = tracking_uri()
    return not uri.startswith(_SQLITE) or Path(uri.removeprefix(_SQLITE)).exists()


def connect() -> "MlflowClient":
    """A client of the registry; call its methods inside `reachable()`."""
    for name, value in _CLIENT_DEFAULTS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient  # noqa: PLC0415 (seconds, and most commands do without)

    for logger in ("mlflow", "alembic"):
        logging.getLogger(logger).setLevel(logging.WARNING)
    uri = tracking_uri()
    with reachable():
        if uri.startswith(_SQLITE):
            path = Path(uri.removeprefix(_SQLITE))
            _check_database(path)
            _create_database(path)
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _check_database(path: Path) -> None:
    """Raise KajiyaError for a file that is no database: MLflow would try again for two minutes."""
    if not path.exists() or path.stat().st_size == 0:
        return
    with open(path, "rb") as file:
        if file.read(16) != b"SQLite format 3\0":
            raise KajiyaError(f"{path}: not a SQLite database. Move it away, or set MLFLOW_TRACKING_URI.")


def _create_database(path: Path) -> None:
    """Make the database whole or not at all: MLflow cannot take up migrations that a kill cut short."""
    if path.exists():
        return
    from mlflow import MlflowClient  # noqa: PLC0415 (as above)

    path.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{path}.lock", "w") as lock:  # two recipes may register at the same time
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return
        partial = Path(f"{path}.partial")
        partial.unlink(missing_ok=True)
        uri = f"{_SQLITE}{partial.absolute()}"
        MlflowClient(tracking_uri=uri, registry_uri=uri).search_experiments()
        partial.replace(path)


@contextmanager
def reachable() -> Iterator[None]:
    """Turn MLflow's failures into a KajiyaError that names the registry and the remedy."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415
    from requests import RequestException  # noqa: PLC0415
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise KajiyaError(
            f"MLflow at {shown_uri()}: {without_passwords(reason)[:500]}\nStart it (`make up`), or set MLFLOW_TRACKING_URI to "
            f"a server that runs (unset, it is the file {DATABASE} here); then run again: finished work is kept."
        ) from error


def list_versions(recipe: str | None = None) -> list[RegisteredVersion]:
    """Versions of one recipe or of all, by name and version; none when there is no registry yet."""
    if not registry_exists():
        return []
    client = connect()
    with reachable():
        names = [model.name for model in _all_pages(client.search_registered_models)]
        wanted = [n for n in names if n.startswith(PREFIX) and recipe in {None, n.removeprefix(PREFIX)}]
        found = [
            _version(client, version)
            for name in wanted
            for version in _all_pages(client.search_model_versions, f"name='{name}'")
        ]
    return sorted(found, key=lambda version: (version.name, version.version))


def read_version(client: "MlflowClient", name: str, version: int) -> RegisteredVersion:
    """One version that is known to be there."""
    with reachable():
        return _version(client, client.get_model_version(name, str(version)))


def load_lineage(name: str, version: int) -> Lineage:
    """The lineage that a version carries. Raises KajiyaError naming what there is instead."""
    known = list_versions()
    one = next((v for v in known if (v.name, v.version) == (name, version)), None)
    if one is None:
        listing = (
            ", ".join(f"{v.name}/{v.version}" for v in known) or "none yet (`kajiya run` registers some)"
        )
        raise KajiyaError(f"{name}/{version}: no such version at {shown_uri()}. There are: {listing}.")
    client = connect()
    with tempfile.TemporaryDirectory(prefix="kajiya-lineage-") as folder, reachable():
        file = client.download_artifacts(one.run_id, "lineage.json", folder)
        return Lineage.model_validate_json(Path(file).read_bytes())


def find_version(name: str) -> RegisteredVersion:
    """The version that `NAME/VERSION` or `NAME@ALIAS` means. Raises KajiyaError naming what there is instead."""
    bare = name.removeprefix("models:/")
    if not registry_exists():
        raise KajiyaError(
            f"{bare}: nothing is registered at {shown_uri()} yet (`kajiya run` registers some)."
        )
    model, at, alias = bare.partition("@")
    version = _version_of_alias(model, alias) if at else "/".join(map(str, parse_version(bare)))
    name, number = parse_version(version)
    one = next((v for v in list_versions() if (v.name, v.version) == (name, number)), None)
    if one is None:
        raise KajiyaError(f"{version}: no such version at {shown_uri()}. `kajiya status` lists them.")
    return one


def fetch_model(name: str) -> Path:
    """The folder of a registered version, `NAME/VERSION` or `NAME@ALIAS`; one on a server is copied here once."""
    one = find_version(name)
    version = f"{one.name}/{one.version}"
    client = connect()
    with reachable():
        address = urlsplit(client.get_model_version(one.name, str(one.version)).source or "")
        if address.scheme in {"", "file"}:
            folder = Path(unquote(address.path))
            if not folder.is_dir():
                raise KajiyaError(f"{version}: its files are gone ({folder}). Register it again.")
            return folder
        return _downloaded(client, one, "model")


def fetch_evaluation(one: RegisteredVersion) -> tuple[Path, Path | None]:
    """The folders with a version's evaluation and with a judge's judgements, if it has any; copied here once."""
    client = connect()
    with reachable():
        if not client.list_artifacts(one.run_id, EVALUATION):
            raise KajiyaError(
                f"{one.name}/{one.version}: registered without an evaluation. Register the recipe again"
                " (`kajiya run`): every variant is evaluated before."
            )
        judged = bool(client.list_artifacts(one.run_id, JUDGEMENTS))
        evaluation = _downloaded(client, one, EVALUATION)
        return evaluation, _downloaded(client, one, JUDGEMENTS) if judged else None


def _version_of_alias(model: str, alias: str) -> str:
    of_model = [one for one in list_versions() if one.name == model]
    found = next((one for one in of_model if alias in one.aliases), None)
    if found is None:
        known = ", ".join(f"{model}@{a}" for one in of_model for a in one.aliases) or "none"
        raise KajiyaError(f"{model}@{alias}: no such alias at {shown_uri()}. Of {model} there are: {known}.")
    return f"{found.name}/{found.version}"


def _downloaded(client: "MlflowClient", one: RegisteredVersion, part: str) -> Path:
    """A copy of a part of the run's files; a version never changes, so one that is here is right."""
    shelf = Path(os.environ.get("KAJIYA_CACHE") or ".cache") / "registry"
    suffix = "" if part == "model" else f"-{part}"
    folder = shelf / f"{one.name}-{one.version}-{one.run_id}{suffix}"
    if not folder.is_dir():
        shelf.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=shelf) as partial:
            Path(client.download_artifacts(one.run_id, part, partial)).replace(folder)
    return folder


def _version(client: "MlflowClient", found: Any) -> RegisteredVersion:
    # Only a look-up of the single version carries its aliases, and only the run its metrics.
    version = client.get_model_version(found.name, found.version)
    parent = version.tags.get("parent_version", "")
    run = client.get_run(version.run_id) if version.run_id else None
    return RegisteredVersion(
        name=version.name,
        version=int(version.version),
        run_id=version.run_id or "",
        variant=version.tags.get("variant", ""),
        parent_version=int(parent) if parent.isdigit() else None,
        aliases=tuple(version.aliases),
        tags=version.tags,
        metrics=run.data.metrics if run else {},
        experiment_id=run.info.experiment_id if run else "",
        created=_minute(version.creation_timestamp),
    )


def _minute(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def _all_pages(search: Any, condition: str | None = None) -> Iterator[Any]:
    token = None
    while True:
        page = search(filter_string=condition, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
