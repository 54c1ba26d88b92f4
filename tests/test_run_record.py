"""OUT.run.json: what a run took, and what an hour of its machine costs."""

import json
import time

import pytest

from kajiya.errors import KajiyaError
from kajiya.run_record import PRICE, accelerators, read_price, read_run, run_record


def test_record_holds_time_memory_and_what_the_machine_has(monkeypatch):
    monkeypatch.delenv(PRICE, raising=False)
    record = run_record(time.monotonic() - 5, "{}")
    assert 5 <= record["seconds"] < 60
    assert record["peak_memory_bytes"] > 1_000_000
    assert record["cores"] >= 1
    assert "hour_price" not in record


def test_record_keeps_the_price_of_an_hour(monkeypatch):
    monkeypatch.setenv(PRICE, "3.5 USD")
    assert run_record(time.monotonic(), "{}")["hour_price"] == "3.5 USD"


def test_record_counts_for_the_output_it_was_written_with_alone(tmp_path):
    report, run = tmp_path / "out.report.json", tmp_path / "out.run.json"
    assert read_run(tmp_path / "out") == {}
    record = run_record(time.monotonic(), "the report of run B")
    run.write_text(json.dumps(record))
    report.write_text("the report of run B")
    assert read_run(tmp_path / "out") == record

    report.write_text("the report of run A, restored by a checkout")

    assert read_run(tmp_path / "out") == {}


@pytest.mark.parametrize("content", ['{"seconds": 5.0}', '{"seconds": 5', "[]"], ids=["older", "cut", "list"])
def test_record_that_names_no_report_counts_for_none(tmp_path, content):
    (tmp_path / "out.report.json").write_text("{}")
    (tmp_path / "out.run.json").write_text(content)
    assert read_run(tmp_path / "out") == {}


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("3", (3.0, "")),
        ("2.75USD", (2.75, "USD")),
        (" 400 円 ", (400.0, "円")),
        ("-1 USD", None),
        ("a", None),
    ],
)
def test_price_is_an_amount_and_perhaps_a_currency(text, price):
    if price is None:
        with pytest.raises(KajiyaError, match="no price"):
            read_price(text)
    else:
        assert read_price(text) == price


@pytest.mark.parametrize(("shown", "count"), [(None, 2), ("0", 1), ("", 0), ("0,1,2", 2)])
def test_accelerators_are_the_devices_that_are_not_hidden(tmp_path, monkeypatch, shown, count):
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if shown is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    assert accelerators(tmp_path) == count
