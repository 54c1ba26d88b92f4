"""The rule sets of others on real text: about the pass rates that were measured with their published rules."""

import gzip
import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest
from clean_texts import batch

from components.clean.rules import judged
from components.clean.rulesets import RULE_SETS

DATA = Path(os.environ.get("KAJIYA_SHARED_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no real data at {DATA} (set KAJIYA_SHARED_DATA)")

# Percent that passed swallow-v1 and llm-jp in the first measurement; docs/cleaning.md tells why ours differ.
FIRST = {
    "aozora": (71, 97),
    "diet_full_speeches": (20, 76),
    "jaquad_contexts": (31, 95),
    "ja_react_docs": (0, 49),
}
TOLERANCE = 7  # points


@pytest.mark.parametrize("name", FIRST)
def test_rule_sets_of_others_pass_what_they_passed_before(name):
    with gzip.open(DATA / "text" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        count = {"aozora": 250, "jaquad_contexts": 3000}.get(name)  # the whole takes minutes
        texts = [json.loads(line)["text"] for line in itertools.islice(lines, count)]
    measured = batch(*texts)
    for rules, percent in zip(("swallow-v1", "llm-jp"), FIRST[name], strict=True):
        passed = 100 * np.mean(judged(RULE_SETS[rules].documents, measured).failed < 0)
        assert abs(passed - percent) <= TOLERANCE, rules
