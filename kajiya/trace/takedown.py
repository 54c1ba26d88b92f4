"""Leave documents out of every later run, with all copies of them, and name the models that learnt them."""

import datetime
from collections.abc import Iterable
from typing import NamedTuple

from kajiya.errors import KajiyaError
from kajiya.exclusions import Exclusion, add
from kajiya.trace.history import family
from kajiya.trace.models import Use, uses
from kajiya.trace.project import Project
from kajiya.trace.search import find

EXCLUSIONS = "exclusions.yaml"
_LISTED = 20


class Takedown(NamedTuple):
    """What was asked for and what follows."""

    documents: list[str]
    """All that are left out from now on, copies included."""
    new: list[Exclusion]
    """Those that were not left out before."""
    uses: list[Use]
    """Where the documents stand in tokens and models."""
    copies_known: bool
    """False where dedupe never ran: copies may be in the corpus all the same."""


def take_down(project: Project, queries: Iterable[str], reason: str, every_match: bool) -> Takedown:
    """Add the documents that `queries` mean, and their copies, to exclusions.yaml.

    A copy left behind would take the place of what was taken down. Raises KajiyaError for words that
    stand in several documents, unless every_match says that all are meant; and where dedupe ran and its
    output, which alone tells the copies, is not on this disk. Nothing is written then.
    """
    chosen = [name for query in queries for name in _meant(project, query, every_match)]
    documents = list(dict.fromkeys(one for name in chosen for one in family(project, name)))
    today = datetime.datetime.now(datetime.UTC).date()
    entries = [Exclusion(id=one, reason=reason, requested=today) for one in documents]
    found = uses(project, documents)
    return Takedown(documents, add(project.root / EXCLUSIONS, entries), found, "dedupe" in project.stages)


def _meant(project: Project, query: str, every_match: bool) -> list[str]:
    found = find(project, query)
    if len(found) > 1 and not every_match:
        listed = "\n  ".join(found[:_LISTED])
        more = f"\n  and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
        raise KajiyaError(
            f"{query!r}: {len(found)} documents match:\n  {listed}{more}\n"
            "Name the ones that are meant by their ids, or say --all. Nothing was written."
        )
    return found
