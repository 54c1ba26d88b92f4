"""The suites that published Japanese scores are means of, and the shots they were taken with.

After Stability's Japanese harness, which most model cards follow.
"""

PUBLISHED_SHOTS = {
    "jcommonsenseqa": 3,
    "jnli": 3,
    "marc_ja": 3,
    "jsquad": 2,
    "jaqket_v2": 1,
    "xlsum_ja": 1,
    "xwinograd_ja": 0,
    "mgsm": 5,
}
SUITES = {"4": tuple(PUBLISHED_SHOTS)[:4], "8": tuple(PUBLISHED_SHOTS)}
