"""Great Expectations over the corpus: nothing is trained on a corpus that fails.

Looks at the form of the shards, ids, licences and generators against POLICY, languages as stated and as
measured, lengths, scripts, repeated ids and texts, personal data that the cleaning should have masked,
and at the drift from the corpus that was accepted last (`profile.json` in ACCEPTED, written by `kajiya
accept`; without one there is nothing to compare with). Shards are gone through side by side, each in
numbers: memory is that of a shard.

OUT holds `summary.json`, every expectation with its bound and what was observed, and `profile.json`, the
corpus in histograms. Beside it, also when the corpus failed, lie `OUT.pages/corpus.html`, one page for a
person, and `OUT.pages/index.html`, the Data Docs. A failed expectation ends the run with its name, the
observed value and sample documents; nothing is then published as OUT. An exception inside an expectation
is reported as an error of the check.
"""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from components.validate.drift import Drift, measure_drift
from components.validate.frames import build_frames, describe_shards, find_refusals
from components.validate.page import write_page
from components.validate.profile import Profile, load_profile, quantile
from components.validate.repeats import Repeats, find_repeats
from components.validate.scan import Task, describe, scan_shard
from components.validate.settings import ValidateSettings
from components.validate.verdicts import Verdict, raise_for_failures
from kajiya.engine import map_shards
from kajiya.policy import load_policy
from kajiya.report import Flow, Report
from kajiya.shards import list_shards, read_shard, write_file


def run(
    config: ValidateSettings, corpus: Path, policy: Path, accepted: Path, *, out: Path, pages: Path
) -> Report:
    """Check the corpus; raise KajiyaError naming what failed."""
    # Here, because worker processes import this package too: Great Expectations takes seconds and 200 MB.
    from components.validate.examination import Examiner  # noqa: PLC0415
    from components.validate.suite import content_suite, form_suite  # noqa: PLC0415

    rules = load_policy(policy)
    reference = accepted / "profile.json"
    before = load_profile(reference) if reference.is_file() else None
    with tempfile.TemporaryDirectory(prefix="kajiya-validate-") as folder:
        examiner = Examiner(Path(folder), config.sample_rows)
        try:
            form = examiner.examine("shards", {"shards": describe_shards(corpus)}, form_suite())
            raise_for_failures(form, pages / "index.html")
            profile, repeats = scan(config, corpus, out / "hashes")
            refusals = find_refusals(profile, rules)
            drifts = measure_drift(before, profile) if before else []
            frames = build_frames(profile, refusals, config, drifts)
            checks = [one for one in content_suite(config, bool(before)) if one.frame in frames]
            verdicts = [*form, *examiner.examine("corpus", frames, checks)]
        finally:
            examiner.publish(pages)
    told = {
        kind: [one.explain(profile.first[kind][one.name], policy) for one in refusals[kind]]
        for kind in refusals
    }
    verdicts = [
        _with_examples(one, profile, told, _repeated(one, repeats, corpus), config) for one in verdicts
    ]
    failed = [verdict.name for verdict in verdicts if not verdict.passed]
    write_file(pages / "profile.json", _json(profile.model_dump(mode="json")))
    write_file(pages / "failed.json", _json(failed))
    write_page(pages / "corpus.html", profile, verdicts, drifts, before)
    raise_for_failures(verdicts, pages / "corpus.html")
    # Not the drift: what is built on OUT must not change because another corpus was accepted.
    kept = [verdict.model_dump() for verdict in verdicts if verdict.name != "drift"]
    write_file(out / "summary.json", _json(kept))
    write_file(out / "profile.json", _json(profile.model_dump(mode="json")))
    print(f"validate: {len(verdicts)} expectations hold. {pages / 'corpus.html'}")
    return summarize(verdicts, profile, drifts, bool(before))


def scan(config: ValidateSettings, corpus: Path, hashes: Path) -> tuple[Profile, dict[str, Repeats]]:
    """The profile of the corpus, and its repeated ids and texts; the folder `hashes` is gone afterwards."""
    hashes.mkdir(parents=True)
    shards = list_shards(corpus)
    tasks = [Task(shard, number, hashes, config) for number, shard in enumerate(shards)]
    profile = Profile()
    for part in map_shards(scan_shard, tasks, "validate"):
        profile.add(part, config.sample_rows)
    repeats = {kind: find_repeats(hashes, kind, len(shards), config.sample_rows) for kind in ("id", "text")}
    profile.copies = repeats["text"].copies
    profile.repeated_ids = sum((times - 1) * ids for times, ids in repeats["id"].copies.items())
    shutil.rmtree(hashes)
    return profile, repeats


def summarize(verdicts: list[Verdict], profile: Profile, drifts: list[Drift], compared: bool) -> Report:
    """Every document of a corpus that passed goes on; the counts say what it is made of."""
    sources = {name: source.documents for name, source in sorted(profile.sources.items())}
    faults = {
        fault: sum(source.faults[fault] for source in profile.sources.values())
        for fault in ("emails", "phones", "unreadable", "japanese_share", "language_measured")
    }
    return Report(
        flows={source: Flow(came_in=count, out=count) for source, count in sources.items()},
        figures={
            "expectations": len(verdicts),
            "documents": {"source": sources, **profile.values},
            "characters": profile.characters,
            "median_characters": round(quantile(profile.histogram("length_chars"), 0.5)),
            "repeated_texts": profile.repeated_texts,
            "documents_with": faults,
            "drift": {one.feature: one.psi for one in drifts}
            if compared
            else "no accepted corpus to compare with",
        },
    )


def _repeated(verdict: Verdict, repeats: dict[str, Repeats], corpus: Path) -> list[str]:
    kind = {"id_unique": "id", "duplicates": "text"}.get(verdict.name)
    if kind is None or verdict.passed:
        return []
    shards = list_shards(corpus)
    return [describe(read_shard(shards[shard]), row) for shard, row in repeats[kind].places]


def _with_examples(
    verdict: Verdict,
    profile: Profile,
    told: dict[str, list[str]],
    repeated: list[str],
    config: ValidateSettings,
) -> Verdict:
    if verdict.passed:
        return verdict
    named = {"license_allowed": "license", "generator_allowed": "generator"}
    found = repeated or told.get(named.get(verdict.name, ""), [])
    if verdict.name == "language_allowed":
        found = [profile.first["language"][name] for name in verdict.rows]
    for source in verdict.rows:
        if source in profile.sources:
            found = [*found, *profile.sources[source].examples.get(verdict.name, [])]
    return verdict.model_copy(update={"examples": found[: config.sample_rows]})


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
