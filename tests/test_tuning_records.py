import json

import pytest
from tuning_world import message, record, write

from kajiya.errors import KajiyaError
from kajiya.lm.tuning.records import read_conversations


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
