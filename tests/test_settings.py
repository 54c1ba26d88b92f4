"""Settings: a wrong key or value is refused with file, line and remedy."""

from pathlib import Path
from typing import Annotated, Literal, Self

import pytest
from pydantic import Field, model_validator

from kajiya.errors import KajiyaError
from kajiya.settings import Settings, load_settings


class LengthSettings(Settings):
    min_chars: int = 400
    """Shortest document kept, in characters."""


class RemoteSettings(Settings):
    connector: Literal["remote"]
    base_url: str


class LocalSettings(Settings):
    connector: Literal["local"]
    paths: tuple[str, ...]

    @model_validator(mode="after")
    def _some_paths(self) -> Self:
        if not self.paths:
            raise ValueError("paths: name one")
        return self


SourceSettings = Annotated[RemoteSettings | LocalSettings, Field(discriminator="connector")]


@pytest.fixture
def params(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "params.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_settings_section_absent_values_take_defaults(params):
    path = params("clean:\n  wikipedia:\n")
    assert load_settings(LengthSettings, path, ["clean", "wikipedia"]).min_chars == 400


def test_settings_misspelt_key_names_line_and_nearest(params):
    path = params("clean:\n  wikipedia:\n    min_chras: 3\n")
    with pytest.raises(KajiyaError, match=r"params\.yaml:3: .*min_chras.*Did you mean `min_chars`"):
        load_settings(LengthSettings, path, ["clean", "wikipedia"])


def test_settings_wrong_type_names_line_and_value(params):
    path = params("clean:\n  wikipedia:\n    min_chars: many\n")
    with pytest.raises(KajiyaError, match=r"params\.yaml:3: .*integer.*'many'"):
        load_settings(LengthSettings, path, ["clean", "wikipedia"])


def test_settings_absent_value_without_a_default_is_named(params):
    path = params("crawl:\n  web:\n    connector: remote\n")
    with pytest.raises(KajiyaError, match=r"params\.yaml:2: crawl\.web\.base_url: must be given$"):
        load_settings(SourceSettings, path, ["crawl", "web"])


def test_settings_that_contradict_each_other_are_told_at_their_section_without_the_tag(params):
    path = params("crawl:\n  web:\n    connector: local\n    paths: []\n")
    with pytest.raises(KajiyaError, match=r"params\.yaml:2: crawl\.web: paths: name one$"):
        load_settings(SourceSettings, path, ["crawl", "web"])


def test_settings_one_value_for_a_list_asks_for_a_list(params):
    path = params("crawl:\n  web:\n    connector: local\n    paths: 3\n")
    with pytest.raises(KajiyaError, match=r"params\.yaml:4: crawl\.web\.paths: .*valid list.*3"):
        load_settings(SourceSettings, path, ["crawl", "web"])


def test_settings_missing_section_lists_neighbours(params):
    path = params("clean:\n  wikipedia: {}\n")
    with pytest.raises(KajiyaError, match=r"no section `clean\.wikipedai`.*wikipedia"):
        load_settings(LengthSettings, path, ["clean", "wikipedai"])


def test_settings_union_error_names_the_line_of_the_key(params):
    path = params("crawl:\n  web:\n    connector: local\n    paths: [a]\n    bas_url: x\n")
    with pytest.raises(KajiyaError, match=r"params\.yaml:5: crawl\.web\.bas_url"):
        load_settings(SourceSettings, path, ["crawl", "web"])


@pytest.mark.parametrize(
    ("text", "expected"), [("a: [1\n", "not valid YAML"), ("- 1\n", "expected `name: value`")]
)
def test_settings_broken_file_is_refused(params, text, expected):
    with pytest.raises(KajiyaError, match=expected):
        load_settings(LengthSettings, params(text), ["a"])


def test_settings_file_absent_offers_the_nearest_name(params, tmp_path):
    params("a: 1\n")
    with pytest.raises(KajiyaError, match=r"Did you mean params\.yaml"):
        load_settings(LengthSettings, tmp_path / "parms.yaml", ["a"])


class NestedSettings(Settings):
    length: LengthSettings = LengthSettings()
    kinds: dict[str, SourceSettings] = Field(default_factory=dict)


def test_settings_misspelt_key_below_names_the_keys_of_its_own_level(params):
    path = params("clean:\n  length:\n    min_chras: 3\n  kinds:\n    web: {connector: local, pahts: [a]}\n")
    with pytest.raises(KajiyaError, match=r"min_chras.*`min_chars`") as raised:
        load_settings(NestedSettings, path, ["clean"])
    assert "Did you mean `paths`?" in str(raised.value)


def test_settings_key_that_stands_twice_refused_with_both_lines(params):
    path = params("clean:\n  length: {min_chars: 1}\n  length: {min_chars: 2}\n")
    with pytest.raises(KajiyaError, match=r"yaml:3: `length` stands in line 2 already"):
        load_settings(NestedSettings, path, ["clean"])
