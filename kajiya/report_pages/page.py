"""The page of a recipe, and the page of a version, from the sections of this folder."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from kajiya.errors import KajiyaError
from kajiya.html_page import render
from kajiya.registered_version import RegisteredVersion
from kajiya.registry import how_to_open
from kajiya.report_pages.about import Registered, about_section, versions_section
from kajiya.report_pages.against import comparison_section, gate_section
from kajiya.report_pages.blocks import Section, inline
from kajiya.report_pages.corpus import corpus_section, tokenizer_section
from kajiya.report_pages.costs import costs_section
from kajiya.report_pages.foreign import section_or_why
from kajiya.report_pages.judged import judge_section
from kajiya.report_pages.origin import again_section, lineage_section
from kajiya.report_pages.quantization import quantization_section
from kajiya.report_pages.records import Records, of_tree
from kajiya.report_pages.scores import perplexity_section, scores_section
from kajiya.report_pages.texts import texts_section
from kajiya.report_pages.training import forgetting_section, training_section
from kajiya.report_pages.warnings import warnings_section
from kajiya.report_pages.words import LANGUAGES, Words

_PARTS: tuple[Callable[[Records, Words], Section], ...] = (
    warnings_section,
    corpus_section,
    tokenizer_section,
    training_section,
    forgetting_section,
    scores_section,
    comparison_section,
    gate_section,
    judge_section,
    perplexity_section,
    quantization_section,
    texts_section,
    costs_section,
    lineage_section,
    again_section,
)


def recipe_page(root: Path, recipe: str, folder: Path) -> str:
    """HTML about all variants of a recipe. folder: where the page will lie, for links to pages of versions."""
    records, registered = of_tree(root, recipe), registered_versions(recipe)
    pages = {
        one.version: file
        for one in registered.versions
        if (folder / (file := f"{one.name}-{one.version}.html")).exists()
    }

    def sections(words: Words) -> list[Section]:
        return [*_sections(records, None, words), versions_section(registered, pages, words)]

    return _rendered(f"kajiya: {recipe}", recipe, sections)


def version_page(records: Records, version: RegisteredVersion) -> str:
    """HTML about one registered version. records: of its lineage."""

    def sections(words: Words) -> list[Section]:
        return _sections(records, version, words)

    name = f"{version.name}/{version.version}"
    return _rendered(f"{name} ({version.variant})", name, sections)


def _sections(records: Records, version: RegisteredVersion | None, words: Words) -> list[Section]:
    parts: dict[str, Callable[[], Section]] = {"about": lambda: about_section(records, version, words)}
    for part in _PARTS:
        parts[part.__name__.removesuffix("_section")] = partial(part, records, words)
    return [section_or_why(key, make, records, words) for key, make in parts.items()]


def registered_versions(recipe: str) -> Registered:
    """The versions in the registry, or why it cannot be read."""
    from kajiya.registry import list_versions  # noqa: PLC0415  (MLflow takes seconds)

    try:
        return Registered(tuple(list_versions(recipe)))
    except KajiyaError as error:
        return Registered((), str(error))


def _rendered(title: str, name: str, sections: Callable[[Words], list[Section]]) -> str:
    pages: list[dict[str, Any]] = [
        {"language": language, "words": Words(language), "sections": sections(Words(language))}
        for language in LANGUAGES
    ]
    mlflow = how_to_open()
    address = mlflow if mlflow.startswith("http") else ""
    return render(
        "report_pages/page.html.j2", title=title, name=name, pages=pages, mlflow=address, inline=inline
    )
