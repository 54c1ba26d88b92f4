"""Signatures and bands: what the theory of MinHash promises of them."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
from dedupe_corpus import changed, jaccard, prose

from components.dedupe.minhash import Bands, band_keys, choose_bands, shingles, signatures
from kajiya.ngrams import WITHOUT_SPACE, decode, flatten, select


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9])
def test_bands_are_the_longest_that_find_pairs_at_the_threshold(threshold):
    bands = choose_bands(128, threshold)
    assert bands.candidate_probability(threshold) >= 0.995
    assert bands.count * bands.rows <= 128
    longer = Bands(128 // (bands.rows + 1), bands.rows + 1)
    assert longer.candidate_probability(threshold) < 0.995


def test_signature_share_of_equal_minima_estimates_the_jaccard_similarity():
    texts = [prose(1, 2000), changed(prose(1, 2000), 20), changed(prose(1, 2000), 80), prose(2, 2000)]
    table = signatures(flatten(texts), 5, 1024)
    for a, b in itertools.combinations(range(4), 2):
        assert np.mean(table[a] == table[b]) == pytest.approx(jaccard(texts[a], texts[b]), abs=0.05)


def test_signature_of_a_text_does_not_depend_on_its_neighbours():
    texts = [prose(1), "短い", "", prose(2), "あいうえお"]
    together = signatures(flatten(texts), 5, 64)
    alone = [signatures(flatten([text]), 5, 64)[0] for text in texts]
    assert np.array_equal(together, alone)
    bands = choose_bands(64, 0.8)
    assert len(set(band_keys(together, bands)[0].tolist())) == bands.count


def test_shingles_are_the_set_of_ngrams():
    text = "ねこはこたつ、ねこはこたつ"
    sizes = [len(one) for one in shingles(flatten([text, "短い", ""]), 5)]
    assert sizes == [len({text[i : i + 5] for i in range(len(text) - 4)}), 1, 1]


@pytest.mark.parametrize("jaccard_wanted", [0.4, 0.5, 0.6, 0.7, 0.8])
def test_share_of_pairs_that_meet_in_a_band_is_that_of_the_theory(jaccard_wanted):
    """Windows of one text, moved until they share the wanted n-grams; four standard deviations."""
    pairs, chars = 400, 300
    shift = round((chars - 4) * (1 - jaccard_wanted) / (1 + jaccard_wanted))
    long = [prose(1000 + seed, chars + shift) for seed in range(pairs)]
    texts = [side for text in long for side in (text[:chars], text[shift:])]
    bands = choose_bands(128, 0.8)
    keys = band_keys(signatures(flatten(texts), 5, 128), bands)
    found = (keys[::2] == keys[1::2]).any(axis=1).sum()
    probability = np.mean(
        [bands.candidate_probability(jaccard(a, b)) for a, b in zip(texts[::2], texts[1::2], strict=True)]
    )
    deviation = np.sqrt(pairs * probability * (1 - probability))
    assert abs(found - pairs * probability) <= 4 * deviation + 1


def test_white_space_is_left_out_of_the_comparison():
    points = select(flatten(["あ い\nう　え", "", "あいうえ"]), WITHOUT_SPACE)
    assert points.offsets.tolist() == [0, 4, 4, 8]
    assert points.points[:4].tolist() == points.points[4:].tolist()


def test_decoding_arrow_text_gives_the_points_of_its_strings():
    texts = ["ねこ\n𠮷野家 é", "", "abc　漢字", "x" * 50]
    for kind in (pa.string(), pa.large_string()):
        column = pa.array(["前", *texts, "後"], kind).slice(1, 4)
        found, expected = decode(column, WITHOUT_SPACE), select(flatten(texts), WITHOUT_SPACE)
        assert found.points.tolist() == expected.points.tolist()
        assert found.offsets.tolist() == expected.offsets.tolist()
