"""The log of what was trained on: what it proves, and that it finds what was lost, doubled or changed."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from components.pretrain import samples
from kajiya.errors import KajiyaError

STEPS, BATCH = 6, 4


class TinyPlan:
    """40 sequences of five tokens, read in a fixed disorder."""

    batch = BATCH
    tokens = np.random.default_rng(0).integers(0, 60_000, (40, 5))

    def sequence_indices(self, step):
        return (np.arange(step * BATCH, (step + 1) * BATCH) * 7 + 3) % 40

    def token_ids(self, sequences):
        return self.tokens[sequences]


PLAN = TinyPlan()


def log_run(folder, ranks: int, borders: list[int], left_out: tuple[int, ...] = ()) -> list:
    """What a training logs that is saved after the steps `borders`. Returns the files."""
    logs = [samples.SampleLog(rank) for rank in range(ranks)]
    names = []
    for step in range(1, STEPS + 1):
        parts = PLAN.sequence_indices(step - 1).reshape(-1, ranks, BATCH // ranks)
        for rank in range(ranks if step not in left_out else 0):
            for part in parts[:, rank]:
                logs[rank].add(step, part, torch.from_numpy(PLAN.token_ids(part)))
        if step in borders:
            names.append(samples.commit(np.concatenate([log.take() for log in logs]), folder, step))
    return [folder / name for name in names]


def check(files, states=None) -> list:
    return list(samples.check(files, PLAN, STEPS, states or {}))


def changed(files, change) -> list:
    rows = np.load(files[-1])
    return [*files[:-1], files[-1].parent / samples.commit(change(rows), files[-1].parent, STEPS)]


def test_table_is_the_same_whatever_ranks_and_restarts(tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "_BLOCK_SEQUENCES", 8)  # two steps a row group
    contents, told = [], []
    for number, (ranks, borders) in enumerate([(1, [6]), (2, [1, 4, 6]), (4, [3, 6])]):
        files = log_run(tmp_path / str(number), ranks, borders)
        path = tmp_path / f"{number}.parquet"
        told.append(samples.write_table(samples.check(files, PLAN, STEPS, {}), path))
        contents.append(path.read_bytes())
    assert contents[0] == contents[1] == contents[2]
    assert told[0] == told[1] == told[2]
    assert told[0]["trained"] == STEPS * BATCH
    table = pq.read_table(tmp_path / "0.parquet").to_pylist()
    assert [row["step"] for row in table] == sorted(np.repeat(np.arange(1, 7), 4))
    assert [row["sequence"] for row in table[:4]] == sorted(PLAN.sequence_indices(0))


def test_steps_skipped_and_left_out_stand_in_the_table_with_their_reason(tmp_path):
    states = {2: "skipped: not finite", 4: "left out: loss spike", 5: "left out: loss spike"}
    files = log_run(tmp_path, 2, [6], left_out=(4, 5))
    told = samples.write_table(samples.check(files, PLAN, STEPS, states), tmp_path / "t.parquet")
    assert told["trained"] == 12
    assert told["skipped: not finite"] == 4
    assert told["left out: loss spike"] == 8
    rows = pq.read_table(tmp_path / "t.parquet").to_pylist()
    assert {row["state"] for row in rows if row["step"] == 4} == {"left out: loss spike"}


def forget_one(rows):
    return rows[1:]


def double_one(rows):
    return np.concatenate([rows[:1], rows])


def read_another(rows):
    rows["sequence"][0] = 39
    return rows


def feed_other_tokens(rows):
    rows["digest"][2] += 1
    return rows


def go_past_the_end(rows):
    later = rows[-1:].copy()
    later["step"] += 1
    return np.concatenate([rows, later])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (forget_one, r"step 1: sequence 3 was planned and never seen"),
        (double_one, r"step 1: sequence 3 was seen more than once"),
        (read_another, r"step 1: sequence 3 was planned and never seen"),
        (feed_other_tokens, r"step 1: rank 0 gave the model other token ids than those of sequence 17"),
        (go_past_the_end, r"step 7: the log holds a step after the last"),
    ],
)
def test_check_finds_what_was_not_as_planned(tmp_path, change, said):
    with pytest.raises(KajiyaError, match=said):
        check(changed(log_run(tmp_path, 1, [6]), change))


def test_check_finds_a_whole_step_that_is_missing_or_was_to_be_left_out(tmp_path):
    with pytest.raises(KajiyaError, match=r"step 6: sequence \d+ was planned and never seen"):
        check(log_run(tmp_path / "short", 2, [5]))
    with pytest.raises(KajiyaError, match=r"step 3: sequence \d+ was seen and not planned"):
        check(log_run(tmp_path / "whole", 2, [6]), {3: "left out: not finite"})


def test_digest_is_the_same_from_torch_and_numpy_and_tells_neighbours_apart():
    tokens = np.random.default_rng(1).integers(0, 50_000, (20, 33))
    found = samples.digests(torch.from_numpy(tokens))
    assert found.tolist() == samples.digests_of(tokens).tolist()
    swapped = tokens.copy()
    swapped[0, [3, 4]] = swapped[0, [4, 3]]
    assert samples.digests_of(swapped)[0] != found[0]
    assert len(set(found.tolist())) == 20


def test_committed_rows_damaged_are_found_and_those_of_undone_steps_are_cut(tmp_path):
    files = log_run(tmp_path, 1, [2, 4, 6])
    names = [path.name for path in files]
    samples.cut(tmp_path, names[:2])
    assert sorted(path.name for path in tmp_path.iterdir()) == names[:2]
    assert list(samples.damages(tmp_path, names[:2])) == []
    content = bytearray(files[0].read_bytes())
    content[-3] ^= 1
    files[0].write_bytes(content)
    files[1].unlink()
    assert [line.split(" ", 1)[1] for line in samples.damages(tmp_path, names[:2])] == [
        "has another checksum than when it was written",
        "is missing",
    ]
