import json

import pytest
from tuning_world import message, pair, record, write

from kajiya.errors import KajiyaError
from kajiya.lm.tuning.records import read_conversations, read_preferences


@pytest.mark.parametrize(
    ("bad", "message_part"),
    [
        ('{"id": "x", ', "a.jsonl:2: invalid JSON at column 13"),
        ("[1]", "a.jsonl:2: expected an object, found list"),
        (record(1, license=""), "a.jsonl:2: license: empty"),
        ({k: v for k, v in record(1).items() if k != "generator"}, "a.jsonl:2: generator: missing"),
        ({k: v for k, v in record(1).items() if k != "license"}, "a.jsonl:2: license: missing"),
        (record(1, messages=[message("user"), message("assistant", " \n")]), "a.jsonl:2: messages.1.content: empty"),
        (record(1, messages=[message("assistant"), message("user")]), "message 1 is by `assistant`, expected `user`"),
        (record(1, messages=[message("system"), message("assistant")]), "message 2 is by `assistant`"),
        (record(1, messages=[message("user"), message("assistant"), message("user")]), "last message must be by"),
        (record(1, messages=[message("system"), message("user")]), "last message must be by"),
        (record(1, messages=[message("user"), message("bot")]), "a.jsonl:2: messages.1.role"),
        (record(1, mesages=[]), "a.jsonl:2: mesages: unknown key"),
        (record(0), "id 'r0' stands at a.jsonl:1 already"),
    ],
)  # fmt: skip
def test_wrong_record_is_an_error_naming_file_and_line(tmp_path, bad, message_part):
    folder = write(tmp_path / "in", [record(0), bad])
    with pytest.raises(KajiyaError) as error:
        list(read_conversations(folder))
    assert message_part in str(error.value)


def test_bytes_that_are_not_utf8_are_an_error_naming_the_line(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(json.dumps(record()).encode() + b'\n{"id": "\xff"}\n')
    with pytest.raises(KajiyaError, match=r"a\.jsonl:2: not UTF-8 at byte 8"):
        list(read_conversations(tmp_path))


def test_folder_without_conversations_is_an_error(tmp_path):
    with pytest.raises(KajiyaError, match=r"no \*\.jsonl here"):
        list(read_conversations(tmp_path))


def without(values, key):
    return {name: value for name, value in values.items() if name != key}


@pytest.mark.parametrize(
    ("bad", "message_part"),
    [
        (without(pair(1), "chosen"), "a.jsonl:2: chosen: missing"),
        (pair(1, rejected="いいえ。"), "a.jsonl:2: rejected: "),
        (pair(1, rejected={"content": "いいえ。"}), "a.jsonl:2: rejected.generator: missing"),
        (pair(1, chosen={"content": " ", "generator": "human"}), "a.jsonl:2: chosen.content: empty"),
        (pair(1, prompt=[]), "a.jsonl:2: prompt: "),
        (pair(1, prompt=[message("user"), message("assistant")]), "a.jsonl:2: the last message must be by `user`"),
        (pair(1, prompt=[message("assistant")]), "a.jsonl:2: message 1 is by `assistant`, expected `user`"),
        (pair(1, rejected=pair()["chosen"]), "a.jsonl:2: chosen and rejected say the same"),
        (without(pair(1), "license"), "a.jsonl:2: license: missing"),
        (pair(1, messages=[]), "a.jsonl:2: messages: unknown key"),
        (record(1), "a.jsonl:2: prompt: missing"),
        (pair(0), "id 'p0' stands at a.jsonl:1 already"),
    ],
)  # fmt: skip
def test_wrong_pair_is_an_error_naming_file_and_line(tmp_path, bad, message_part):
    folder = write(tmp_path / "in", [pair(0), bad])
    with pytest.raises(KajiyaError) as error:
        list(read_preferences(folder))
    assert message_part in str(error.value)


def test_ids_are_unique_over_the_files_of_a_folder(tmp_path):
    write(tmp_path, [record(0), record(1)])
    (tmp_path / "b.jsonl").write_text(json.dumps(record(1)))
    with pytest.raises(KajiyaError, match=r"b\.jsonl:1: id 'r1' stands at a\.jsonl:2 already"):
        list(read_conversations(tmp_path))


def test_generators_of_a_record_are_all_that_wrote_in_it(tmp_path):
    prompt = [message("user", generator="m2"), message("assistant"), message("user", generator="m3")]
    answers = {"chosen": {"content": "a", "generator": "m4"}, "rejected": {"content": "b", "generator": "m2"}}
    (found,) = read_preferences(write(tmp_path / "in", [pair(prompt=prompt, generator="m1", **answers)]))
    assert found.generators() == ("m1", "m2", "m3", "m4")
    assert found.turns("rejected")[-2:] == [message("user"), message("assistant", "b")]
