"""Read the settings of every stage before the first one runs: a typo must not wait for hours of training."""

from flows.graph import Graph
from kajiya.errors import KajiyaError
from kajiya.settings import load_settings
from kajiya.settings_docs import settings_type


def check_settings(graph: Graph, unchanged: set[str]) -> None:
    """Validate what the stages that may run will read. Raises KajiyaError with every problem found."""
    problems = []
    for stage in graph.values():
        for path, section in stage.settings if stage.name not in unchanged else ():
            try:
                load_settings(settings_type(section[0]), path, list(section))
            except KajiyaError as error:
                problems.append(str(error))
    if problems:
        raise KajiyaError("\n".join(dict.fromkeys(problems)))
