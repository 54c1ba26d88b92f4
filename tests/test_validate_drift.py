"""Drift against the accepted corpus: measured per feature, bounded, and accepted by a person alone."""

import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.validate import ValidateSettings, run, scan
from components.validate.drift import measure_drift, merge_bins, psi
from components.validate.profile import Profile, load_profile, quantile
from kajiya.acceptance import accept_corpus
from kajiya.cli import app
from kajiya.errors import KajiyaError
from kajiya.shards import write_dataset
from kajiya.stage import execute

POLICY = Path(__file__).parent.parent / "policy.yaml"
SHORT = "{}番目の文書は短い。湖の水は青く、山の上には雲がかかっている。舟が一艘だけ浮かんでいて、釣りをする人が見える。"
LONG = SHORT + "その湖のまわりには町があり、古い家が並び、市場では魚や野菜が売られている。" * 20


def write(root: Path, text: str, source: str = "web") -> Path:
    rows = (
        {
            "id": f"{source}:{i}",
            "source": source,
            "text": text.format(i),
            "license": "CC0-1.0",
            "generator": "human",
            "language": "ja",
        }
        for i in range(60)
    )
    write_dataset(rows, root / "corpus")
    return root / "corpus"


def profile(root: Path, text: str, source: str = "web") -> Profile:
    return scan(ValidateSettings(), write(root, text, source), root / "hashes")[0]


def validate(root: Path, text: str):
    (root / "accepted").mkdir(exist_ok=True)
    inputs = [write(root, text), POLICY, root / "accepted"]
    return execute(run, ValidateSettings(), inputs, root / "data" / "validated")


def test_psi_is_the_sum_over_bins():
    then, now = {1: 50, 2: 50}, {1: 20, 2: 80}
    assert psi(then, now) == pytest.approx(
        (0.2 - 0.5) * math.log(0.2 / 0.5) + (0.8 - 0.5) * math.log(0.8 / 0.5), abs=1e-6
    )
    assert psi(then, {1: 500, 2: 500}) == 0
    assert math.isfinite(psi(then, {3: 10}))
    assert psi(then, {3: 10}) > 5


def test_bins_are_merged_until_each_holds_a_twentieth_of_the_accepted_documents():
    then = {float(i): 1 for i in range(100)}
    wide, now = merge_bins(then, {3.5: 4, 99.5: 1, 200.0: 4})
    assert all(wide[edge] >= 5 or now[edge] >= 0.45 for edge in wide)
    assert (len(wide), sum(wide.values()), sum(now.values())) == (22, 100, 9)


def test_documents_beyond_all_accepted_ones_keep_a_bin_of_their_own():
    assert merge_bins({1.0: 100, 2.0: 1}, {2.0: 5}) == ({1.0: 100, 2.0: 1}, {1.0: 0, 2.0: 5})
    assert merge_bins({1.0: 100, 2.0: 1}, {1.0: 50, 3.0: 1}) == ({1.0: 101}, {1.0: 51})


def test_quantile_lies_within_the_bin_that_holds_it():
    assert quantile({64.0: 10, 76.0: 10}, 0.5) == 76
    assert 64 < quantile({64.0: 10, 76.0: 10}, 0.25) < 76
    assert quantile({}, 0.5) == 0


def test_shares_of_the_sources_are_a_feature(tmp_path):
    drifts = measure_drift(profile(tmp_path / "a", SHORT), profile(tmp_path / "b", SHORT, source="minutes"))
    found = {one.feature: one.psi for one in drifts}
    assert found.pop("sources") > 10
    assert found.pop("sources by characters") > 10
    assert set(found.values()) == {0}


def test_drift_names_the_feature_and_the_source_that_moved_most(tmp_path):
    drifts = measure_drift(profile(tmp_path / "a", SHORT), profile(tmp_path / "b", LONG))
    length = next(one for one in drifts if one.feature == "length_chars")
    assert length.worst_source == f"web {length.psi:.3f}"
    assert length.psi > 1
    assert [one.psi for one in drifts] == sorted((one.psi for one in drifts), reverse=True)


def test_corpus_is_accepted_by_a_person_and_the_next_compared_with_it(tmp_path):
    out, accepted = tmp_path / "data" / "validated", tmp_path / "accepted"
    page = tmp_path / "data" / "validated.pages" / "corpus.html"
    assert validate(tmp_path, SHORT).figures["drift"] == "no accepted corpus to compare with"
    assert "No corpus has been accepted yet" in page.read_text()
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    accept_corpus(out, accepted, drifted=False)

    assert set(validate(tmp_path, SHORT).figures["drift"].values()) == {0}
    # What is built on the corpus is not built anew because it was accepted.
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    with pytest.raises(KajiyaError, match="has no drift beyond its bound"):
        accept_corpus(out, accepted, drifted=True)

    with pytest.raises(
        KajiyaError, match=r"fails 1 of (?s:.*)drift: (?s:.*)length_chars(?s:.*)accept --drifted"
    ):
        validate(tmp_path, LONG)
    accept_corpus(out, accepted, drifted=True)
    assert set(validate(tmp_path, LONG).figures["drift"].values()) == {0}


def test_corpus_that_fails_otherwise_cannot_be_accepted(tmp_path):
    out, pages = tmp_path / "validated", tmp_path / "validated.pages"
    with pytest.raises(KajiyaError, match="Validate a corpus first"):
        accept_corpus(out, tmp_path / "accepted", drifted=False)
    pages.mkdir()
    (pages / "failed.json").write_text('["document_count", "drift"]')
    with pytest.raises(KajiyaError, match="fails document_count, drift"):
        accept_corpus(out, tmp_path / "accepted", drifted=True)


def test_accept_asks_first_and_writes_what_git_keeps(tmp_path, monkeypatch):
    (tmp_path / "data" / "validated").mkdir(parents=True)
    made = profile(tmp_path, SHORT).model_dump_json()
    (tmp_path / "data" / "validated" / "profile.json").write_text(made)
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["accept"], input="n\n").exit_code == 1
    assert not (tmp_path / "accepted" / "profile.json").exists()
    done = CliRunner().invoke(app, ["accept"], input="y\n")
    assert done.exit_code == 0
    assert "60 documents" in done.stdout
    assert (tmp_path / "accepted" / "profile.json").read_text() == made


def test_profile_of_another_version_is_an_error_naming_the_file(tmp_path):
    (tmp_path / "profile.json").write_text('{"documents": 3, "words": 5}')
    with pytest.raises(KajiyaError, match=r"profile\.json: not a profile of this version"):
        load_profile(tmp_path / "profile.json")
