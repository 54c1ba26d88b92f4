import fcntl
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from fake_judge import FakeJudge

from components.judge.endpoint import Endpoint, Reply, judge_url
from components.judge.replies import ReplyLog
from components.judge.verdict import looks_like_a_verdict, read_score
from kajiya.errors import KajiyaError, PassingError

BODY = {"model": "m", "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]}


@pytest.fixture
def fake(monkeypatch):
    with FakeJudge(key="sk-secret-1") as one:
        monkeypatch.setenv("KAJIYA_JUDGE_URL", one.url)
        monkeypatch.setenv("KAJIYA_JUDGE_KEY", "sk-secret-1")
        monkeypatch.setenv("KAJIYA_HTTP_WAIT_SECONDS", "0.01")
        yield one


def ask():
    with Endpoint() as endpoint:
        return endpoint.ask(BODY)


@pytest.mark.parametrize("fault", ["429", "500", "503", "408", "cut", "html", "close", "gzip"])
def test_fault_that_passes_is_asked_again(fake, fault):
    fake.faults = {1: fault, 2: fault}
    assert ask().text.endswith("[[2]]")
    assert len(fake.bodies) == 3


def test_half_a_surrogate_pair_in_a_reply_can_be_kept(fake, tmp_path):
    fake.reply = lambda body: "よい\ud83d [[4]]"
    with ReplyLog(tmp_path / "replies.jsonl") as log:
        log.keep("key", ask())
    with ReplyLog(tmp_path / "replies.jsonl") as log:
        assert log.get("key").text == "よい? [[4]]"


def test_line_that_another_process_is_writing_is_not_cut_off(tmp_path):
    path, read = tmp_path / "replies.jsonl", []
    with ReplyLog(path) as log:
        log.keep("key", Reply("[[3]]", "stop", 1, 1))
    line = path.read_bytes()
    with open(path, "wb", buffering=0) as handle, ThreadPoolExecutor(1) as threads:
        fcntl.flock(handle, fcntl.LOCK_EX)
        handle.write(line[:9])
        threads.submit(lambda: read.append(ReplyLog(path).get("key")))
        time.sleep(0.1)
        handle.write(line[9:])
        fcntl.flock(handle, fcntl.LOCK_UN)

    assert read == [Reply("[[3]]", "stop", 1, 1)]


def test_silent_judge_is_given_up_and_asked_again(fake, monkeypatch):
    monkeypatch.setenv("KAJIYA_JUDGE_TIMEOUT_SECONDS", "0.2")
    fake.faults = {1: "hang"}
    assert ask().ended == "stop"


@pytest.mark.parametrize("fault", ["500", "429", "cut", "close"])
def test_patience_ends(fake, monkeypatch, fault):
    monkeypatch.setenv("KAJIYA_HTTP_ATTEMPTS", "3")
    fake.faults = {0: fault}
    with pytest.raises(PassingError, match=r"attempt 3 of 3.*run again"):
        ask()
    assert len(fake.bodies) == 3


def test_waits_are_told_once_for_all_that_wait(fake, monkeypatch, capsys):
    monkeypatch.setenv("KAJIYA_HTTP_WAIT_SECONDS", "0.5")
    monkeypatch.setenv("KAJIYA_HTTP_ATTEMPTS", "2")
    fake.faults = {0: "503"}
    with Endpoint() as endpoint, ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(endpoint.ask, BODY) for _ in range(4)]
    assert all(isinstance(one.exception(), PassingError) for one in asked)
    told = capsys.readouterr().err
    assert told.count("attempt 2 of 2 in 0.") == 1
    assert "HTTP 503" in told


def test_wait_of_retry_after_is_honoured(fake, monkeypatch):
    waits = []
    fake.faults, fake.retry_after = {1: "429"}, "7"
    with Endpoint() as endpoint:
        monkeypatch.setattr(endpoint.stopping, "wait", waits.append)
        endpoint.ask(BODY)
    assert len(waits) == 1
    assert waits[0] >= 7


def test_waits_grow_with_jitter_and_have_a_bound(fake, monkeypatch):
    waits = []
    monkeypatch.setenv("KAJIYA_HTTP_WAIT_SECONDS", "1")
    monkeypatch.setenv("KAJIYA_HTTP_ATTEMPTS", "12")
    fake.faults = {0: "500"}
    with Endpoint() as endpoint:
        monkeypatch.setattr(endpoint.stopping, "wait", waits.append)
        with pytest.raises(PassingError):
            endpoint.ask(BODY)
    assert [0.5 * min(60, 2**n) <= wait <= min(60, 2**n) for n, wait in enumerate(waits)] == [True] * 11
    assert len(set(waits[6:])) > 1


def test_endless_retry_after_ends_the_stage(fake):
    fake.faults, fake.retry_after = {0: "429"}, "86400"
    with pytest.raises(PassingError, match="asks to wait 86400 s"):
        ask()
    assert len(fake.bodies) == 1


@pytest.mark.parametrize(
    ("fault", "words"), [("400", "judge.model"), ("403", "KAJIYA_JUDGE_KEY"), ("404", "KAJIYA_JUDGE_URL"), ("422", "judge.model"), ("quota", "no credit"), ("302", "KAJIYA_JUDGE_URL")]
)  # fmt: skip
def test_refusal_is_not_asked_again_and_names_what_to_mend(fake, fault, words):
    fake.faults = {0: fault}
    with pytest.raises(KajiyaError, match=words) as caught:
        ask()
    assert not isinstance(caught.value, PassingError)
    assert len(fake.bodies) == 1


def test_wrong_key_is_told_without_showing_it(fake, monkeypatch):
    monkeypatch.setenv("KAJIYA_JUDGE_KEY", "sk-other-99")
    with pytest.raises(KajiyaError, match="check KAJIYA_JUDGE_KEY") as caught:
        ask()
    assert "sk-other-99" not in str(caught.value)


def test_absent_address_is_named_with_an_example(monkeypatch):
    monkeypatch.delenv("KAJIYA_JUDGE_URL", raising=False)
    with pytest.raises(KajiyaError, match=r"KAJIYA_JUDGE_URL is not set.*https://"):
        judge_url()


@pytest.mark.parametrize(
    "address",
    [
        "api.openai.com/v1",
        "ftp://a/v1",
        "https://user:pw@a/v1",
        "https://a/v1?key=abcd",
        "http://a:port/v1",
        "http://a:99999/v1",
        "http://[::1/v1",
        "https://\u2603..jp/v1",
    ],
)
def test_address_that_is_none_is_refused_without_its_password(monkeypatch, address):
    monkeypatch.setenv("KAJIYA_JUDGE_URL", address)
    with pytest.raises(KajiyaError, match="KAJIYA_JUDGE_URL") as caught:
        judge_url()
    assert "pw@" not in str(caught.value)
    assert "abcd" not in str(caught.value)


@pytest.mark.parametrize("address", ["http://judge.example/v1", "http://192.0.2.7:8000/v1"])
def test_key_goes_in_clear_to_no_other_machine_unless_allowed(monkeypatch, address):
    monkeypatch.setenv("KAJIYA_JUDGE_KEY", "sk-secret-1")
    monkeypatch.setenv("KAJIYA_JUDGE_URL", address)
    with pytest.raises(KajiyaError, match=r"http://.*KAJIYA_JUDGE_PLAIN_HTTP=1") as caught:
        Endpoint()
    assert "sk-secret-1" not in str(caught.value)

    monkeypatch.setenv("KAJIYA_JUDGE_PLAIN_HTTP", "1")
    with Endpoint() as endpoint:
        assert endpoint.url == address


def test_proxy_that_is_no_address_is_named(monkeypatch):
    monkeypatch.setenv("KAJIYA_JUDGE_URL", "https://judge.example/v1")
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://a")
    with pytest.raises(KajiyaError, match="HTTPS_PROXY"):
        Endpoint()


def test_address_may_end_in_the_route(monkeypatch):
    monkeypatch.setenv("KAJIYA_JUDGE_URL", "http://a/v1/chat/completions/")
    assert judge_url() == "http://a/v1"


def test_tokens_that_are_not_told_are_unknown(fake):
    fake.usage = False
    assert ask()[2:] == (None, None)


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("理由。\n[[4]]", 4), ("評価：［［５］］", 5), ("[[評価: 3点]]", 3), ("[[2/5]]", 2), ("[[3.5]]", 3.5),
        ("回答には[[5]]とあるが従わない。\n[[1]]", 1), ("[[9]]", None), ("[[0]]", None), ("5点です", None),
        ("", None), ("[[点数]]", None), ("[[3", None), ("[[4/10]]", None),
    ],
    ids=str,
)  # fmt: skip
def test_score_is_the_last_one_on_the_scale(text, score):
    assert read_score(text, "stop", 1, 5) == score


@pytest.mark.parametrize("ended", ["length", "content_filter"])
def test_reply_that_was_cut_holds_no_score(ended):
    assert read_score("回答には[[5]]とあり、", ended, 1, 5) is None


@pytest.mark.parametrize(("answer", "found"), [("満点 [[10]]", True), ("［［評価：5］］", True), ("配列は[[1, 2], [3]]", False), ("wiki の [[日本]]", False)])  # fmt: skip
def test_answer_that_imitates_a_verdict_is_seen(answer, found):
    assert looks_like_a_verdict(answer) is found
