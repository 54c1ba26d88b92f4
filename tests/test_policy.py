"""policy.yaml: only what a line clears may enter; the longest line decides."""

from pathlib import Path

import pytest

from kajiya.errors import KajiyaError
from kajiya.policy import Policy, load_policy

SHIPPED = Path(__file__).parent.parent / "policy.yaml"


def policy(**generators: list[str]) -> Policy:
    return Policy.model_validate(
        {"licenses": {}, "generators": {k.replace("_", "*"): v for k, v in generators.items()}}
    )


@pytest.mark.parametrize(
    ("kind", "name", "use", "reason"),
    [
        ("generator", "human", "corpus", None),
        ("generator", "Human ", "tuning", None),
        ("generator", "gpt-4", "tuning", "forbidden_generator:gpt-4"),
        ("generator", "gpt4", "tuning", "forbidden_generator:gpt4"),
        ("generator", "gpt3.5", "corpus", "forbidden_generator:gpt3.5"),
        ("generator", "GPT-4-turbo", "corpus", "forbidden_generator:GPT-4-turbo"),
        ("generator", "gpt-4", "evaluation", None),
        ("generator", "gpt-neox-20b", "tuning", None),
        ("generator", "gpt-neox-20b", "corpus", "forbidden_generator:gpt-neox-20b"),
        ("generator", "my-gpt-4", "evaluation", "unknown_generator:my-gpt-4"),
        ("generator", "x/human", "corpus", "unknown_generator:x/human"),
        ("generator", "", "corpus", "unknown_generator:"),
        ("license", "cc-by-sa-4.0", "corpus", None),
        ("license", "CC-BY-NC-SA-4.0", "tuning", "forbidden_license:CC-BY-NC-SA-4.0"),
        ("license", "CC-BY-NC-SA-4.0", "evaluation", None),
        ("license", "CC-BY-5.0", "corpus", "unknown_license:CC-BY-5.0"),
        ("license", "ndl-terms", "tuning", "forbidden_license:ndl-terms"),
    ],
)
def test_shipped_policy_decides(kind, name, use, reason):
    refusal = load_policy(SHIPPED).refusal(kind, name, use)
    assert (refusal.reason if refusal else None) == reason


def test_longest_line_decides_and_an_exact_one_before_all():
    lines = policy(a_=["tuning"], ab_=[], abc=["corpus"], abcdef_=["evaluation"])
    allowed = {
        name: [
            use for use in ("corpus", "tuning", "evaluation") if lines.refusal("generator", name, use) is None
        ]
        for name in ("ax", "abx", "abc", "abcdefg", "b")
    }
    assert allowed == {"ax": ["tuning"], "abx": [], "abc": ["corpus"], "abcdefg": ["evaluation"], "b": []}


def test_two_lines_of_one_length_allow_what_both_allow():
    lines = Policy(licenses={}, generators={"a*c": ("tuning", "corpus"), "ab*": ("tuning",)})
    assert lines.refusal("generator", "abc", "tuning") is None
    assert lines.refusal("generator", "abc", "corpus").reason == "forbidden_generator:abc"


def test_only_the_star_is_special():
    lines = Policy(licenses={}, generators={"m[1]?.x": ("corpus",)})
    assert lines.refusal("generator", "m[1]?.x", "corpus") is None
    assert lines.refusal("generator", "m1ayx", "corpus") is not None


def test_refusal_says_where_what_and_the_line_to_add():
    refused = load_policy(SHIPPED)
    unknown = refused.refusal("license", "my license", "corpus").explain(
        "web:1 in part-00000.parquet", SHIPPED
    )
    assert unknown.startswith("web:1 in part-00000.parquet: license 'my license' stands in no line of ")
    assert unknown.endswith('add under `licenses`:\n  "my license": [corpus]')
    known = refused.refusal("generator", "gpt-4", "tuning").explain("a.jsonl:3 (r2)", Path("policy.yaml"))
    assert known == (
        "a.jsonl:3 (r2): generator 'gpt-4' is cleared for evaluation only, not for tuning: line `gpt-*` of policy.yaml."
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("licenses: {}\n", r"p\.yaml.*generators: must be given"),
        ("licenses: {}\ngenerators:\n  human: [training]\n", r"p\.yaml:3: generators\.human.*'corpus'"),
        ("licenses: {}\ngenerators:\n  human: corpus\n", r"p\.yaml:3: .*valid list"),
        ("licenses: {}\ngenerator: {}\ngenerators: {}\n", r"p\.yaml:2: generator: unknown setting"),
        (
            "licenses: {}\ngenerators:\n  gpt-4: []\n  GPT-4: [tuning]\n",
            r"p\.yaml:4: `GPT-4` stands in line 3",
        ),
        ("licenses: {}\ngenerators: {}\nlicenses: {MIT: []}\n", r"p\.yaml:3: `licenses` stands in line 1"),
    ],
)
def test_wrong_policy_is_an_error_naming_the_line(tmp_path, content, message):
    (tmp_path / "p.yaml").write_text(content)
    with pytest.raises(KajiyaError, match=message):
        load_policy(tmp_path / "p.yaml")
