"""Settings of the sources: what pins nothing is refused."""

from pathlib import Path

import pytest
import yaml
from crawl_world import C4, DIET, FILES, settings
from pydantic import ValidationError

from components.crawl.settings import CrawlSettings
from kajiya.errors import KajiyaError
from kajiya.settings import load_settings

ROOT = Path(__file__).parents[1]
WIKIPEDIA = {"connector": "wikipedia", "wiki": "jawiki", "date": "20260101"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({**WIKIPEDIA, "date": "2026-01-01"}, "date"),
        ({**C4, "revision": "main"}, "revision"),
        ({**C4, "until_shard": 2}, "until_shard"),
        ({**DIET, "until_date": "2024-01-01"}, "is after until_date"),
        ({**FILES, "license": None}, "state the license once"),
        ({**FILES, "language": "Japanese"}, "ISO 639-1 code"),
        ({**FILES, "language": "JA"}, "ISO 639-1 code"),
        ({**FILES, "paths": []}, "nothing to read"),
        ({**FILES, "connector": "ftp"}, "connector"),
    ],
)
def test_settings_that_pin_nothing_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        settings(values)


def test_settings_misspelt_key_of_a_source_is_named(tmp_path):
    params = tmp_path / "params.yaml"
    params.write_text(yaml.safe_dump({"crawl": {"w": {**WIKIPEDIA, "licence": "x"}}}))
    with pytest.raises(KajiyaError, match="Did you mean `license`"):
        load_settings(CrawlSettings, params, ["crawl", "w"])


def test_params_of_the_repository_name_every_source():
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for name in params["sources"]:
        load_settings(CrawlSettings, ROOT / "params.yaml", ["crawl", name])
