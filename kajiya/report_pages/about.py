"""What a page is about: the model in a few lines, and the versions that are registered."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from kajiya.html_page import number
from kajiya.registered_version import RegisteredVersion
from kajiya.registry import how_to_open
from kajiya.report_pages.blocks import Block, Cell, Facts, Link, Section, Table, Text
from kajiya.report_pages.hung import artifact_address
from kajiya.report_pages.records import Records
from kajiya.report_pages.words import Words


@dataclass(frozen=True)
class Registered:
    """What the registry says: of one version on its page, of all of a recipe on the recipe's."""

    versions: tuple[RegisteredVersion, ...]
    error: str = ""
    """Why the registry could not be read."""


def about_section(records: Records, version: RegisteredVersion | None, words: Words) -> Section:
    recipe = records.recipe_file()
    if version:
        lead = words("page_of_version", name=version.name, version=version.version)
    else:
        lead = words("page_of_recipe", recipe=records.recipe)
    pairs = [
        (words("recipe"), f"`{records.recipe}`"),
        (words("description"), words.free(str(recipe.get("description") or "–"))),
    ]
    pairs += _of_version(records, version, words) if version else _of_recipe(records, words)
    license_name = (recipe.get("register") or {}).get("license")
    pairs.append((words("weights_license"), license_name or words("no_license")))
    for key in ("licenses", "generators"):
        if terms := _terms(records, key):
            pairs.append((words(f"data_{key}"), terms))
    return Section("about", words("about"), [Text(lead), Facts(pairs)])


def _of_recipe(records: Records, words: Words) -> Iterator[tuple[str, str]]:
    told = [f"{name} ← {records.parent(name)}" if records.parent(name) else name for name in records.models]
    yield words("variants"), ", ".join(told) or words("absent_any")


def _of_version(records: Records, version: RegisteredVersion, words: Words) -> Iterator[tuple[str, str]]:
    made = records.models.get(version.variant)
    yield words("version"), f"`{version.name}/{version.version}`"
    yield words("variant"), f"`{version.variant}`"
    parent = records.parent(version.variant) if made else None
    if parent is None:
        shown = words("from_scratch") if records.from_scratch else _base(records)
    else:
        shown = f"`{parent}`" + (
            f" (`{version.name}/{version.parent_version}`)" if version.parent_version else ""
        )
    yield words("made_from"), shown
    if made:
        yield words("made_by"), f"`{made.name}`"
        parameters = made.report.figures.get("parameters")
        parameters = parameters.get("all") if isinstance(parameters, dict) else parameters
        if parameters:
            yield words("parameters"), number(parameters)
    yield words("registered_on"), version.created or "–"
    yield words("aliases"), ", ".join(version.aliases) or words("none")
    yield words("how_to_get"), f"`models:/{version.name}/{version.version}`"
    yield words("again_command"), f"`kajiya report {version.name}/{version.version}`"


def _base(records: Records) -> str:
    """The model of others that pretraining went on from, as far as the recipe names it."""
    about = records.recipe_file().get("about") or {}
    return (about.get("base") or {}).get("hub") or "–"


def _terms(records: Records, key: str) -> str:
    """Records by licence or writer: of the corpus as validation counted it, and of the data of each tuning."""
    told = []
    for made in records.stages:
        counts = made.report.figures.get(key)
        if made.kind == "validate":
            counts = (made.report.figures.get("documents") or {}).get(key.removesuffix("s"))
        if isinstance(counts, dict) and counts:
            listed = ", ".join(f"{name} {number(count)}" for name, count in Counter(counts).most_common())
            told.append(f"{made.name}: {listed}")
    return "; ".join(told)


def versions_section(registered: Registered, pages: dict[int, str], words: Words) -> Section:
    """pages: addresses of the pages of versions that lie beside this one."""
    title = words("versions")
    if registered.error:
        return Section(
            "versions", title, [Text(words("registry_error", error=words.free(registered.error)), soft=True)]
        )
    if not registered.versions:
        return Section("versions", title, [Text(words("absent_versions"), soft=True)])
    rows: list[list[Cell]] = [
        [
            f"{one.name}/{one.version}",
            one.variant,
            f"{one.name}/{one.parent_version}" if one.parent_version else "–",
            one.created or "–",
            ", ".join(one.aliases) or "–",
            _page(one, pages),
        ]
        for one in registered.versions
    ]
    keys = ("version", "variant", "made_from", "registered_on", "aliases", "page")
    blocks: list[Block] = [Text(words("versions_about")), Table([words(key) for key in keys], rows)]
    if not how_to_open().startswith("http"):
        blocks.append(Text(words("open_mlflow", command=how_to_open()), soft=True))
    return Section("versions", title, blocks)


def _page(version: RegisteredVersion, pages: dict[int, str]) -> Cell:
    if version.version in pages:
        return Link(f"{version.name}-{version.version}.html", pages[version.version])
    if address := artifact_address(version):
        return Link("MLflow", address)
    return f"`kajiya report {version.name}/{version.version}`"
