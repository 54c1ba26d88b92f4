"""Downloads: whatever the server does, the right bytes or a clear error."""

import email.utils
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from crawl_world import Source, serve_source

from components.crawl.download import Expected, download
from components.crawl.http import Client, body_of, shown
from kajiya.errors import KajiyaError, PassingError
from kajiya.retry_after import retry_after_seconds

CONTENT = random.Random(1).randbytes(300_000)
SHA1 = hashlib.sha1(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setenv("KAJIYA_HTTP_WAIT_SECONDS", "0.01")
    monkeypatch.setenv("KAJIYA_HTTP_ATTEMPTS", "4")


@pytest.fixture
def source():
    with serve_source(Source({"/f.gz": CONTENT})) as one:
        yield one


def fetch(source, folder, **expected):
    with Client(source.url) as client:
        return download(client, "f.gz", folder / "f.gz", Expected(**expected))


@pytest.mark.parametrize(
    "faults",
    [
        [],
        ["503", "503"],
        ["429 0", "close"],
        ["cut 100000", "cut 50000", "503", "close"],
        ["cut 0"],
    ],
)
def test_download_faulty_server_gives_the_right_bytes(source, tmp_path, faults):
    source.faults = list(faults)
    fetched = fetch(source, tmp_path)
    assert fetched.path.read_bytes() == CONTENT
    assert fetched.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert fetched.bytes == len(CONTENT)


def test_download_cut_off_asks_only_for_the_rest(source, tmp_path):
    source.faults = ["cut 100000"]
    fetch(source, tmp_path)
    assert source.requests == [("/f.gz", None), ("/f.gz", "bytes=100000-")]
    assert source.body_bytes == len(CONTENT)


def test_download_server_without_ranges_begins_afresh(source, tmp_path):
    source.honours_range, source.faults = False, ["cut 100000"]
    assert fetch(source, tmp_path).path.read_bytes() == CONTENT


def test_download_without_validator_is_never_glued(source, tmp_path):
    source.headers, source.faults = {"ETag": ""}, ["cut 100000", "change"]
    assert fetch(source, tmp_path).path.read_bytes() == CONTENT[::-1]
    assert source.requests[-1] == ("/f.gz", None)


def test_download_file_changed_between_requests_begins_afresh(source, tmp_path):
    source.faults = ["cut 100000", "change"]
    assert fetch(source, tmp_path).path.read_bytes() == CONTENT[::-1]


def test_download_short_answer_of_known_length_is_continued(source, tmp_path):
    source.faults = ["short 1000"]
    assert fetch(source, tmp_path, bytes=len(CONTENT)).path.read_bytes() == CONTENT


def test_download_server_that_always_stops_at_one_place_ends_in_an_error(source, tmp_path):
    source.honours_range, source.faults = False, ["cut 1000"] * 50
    with pytest.raises(PassingError, match="gave up after 4 tries"):
        fetch(source, tmp_path)
    assert not (tmp_path / "f.gz").exists()


def test_download_wrong_checksum_is_fetched_thrice_then_an_error(source, tmp_path):
    with pytest.raises(KajiyaError, match=r"f\.gz: its sha1 is .*, the source states 00"):
        fetch(source, tmp_path, algorithm="sha1", digest="00")
    assert len(source.requests) == 3
    assert not list(tmp_path.iterdir())


def test_download_broken_copy_once_is_mended(source, tmp_path):
    source.faults = ["short 1000"]  # with a matching Content-Length: only the checksum can tell
    fetched = fetch(source, tmp_path, algorithm="sha1", digest=SHA1)
    assert fetched.path.read_bytes() == CONTENT


def test_download_hub_states_another_sha256_is_an_error(source, tmp_path):
    source.headers = {"X-Linked-ETag": f'"{"0" * 64}"', "X-Linked-Size": str(len(CONTENT))}
    with pytest.raises(KajiyaError, match="sha256"):
        fetch(source, tmp_path)


def test_download_missing_file_names_it_and_does_not_try_again(source, tmp_path):
    with Client(source.url) as client, pytest.raises(KajiyaError, match=r"/gone\.gz: HTTP 404") as caught:
        download(client, "gone.gz", tmp_path / "gone.gz")
    assert not isinstance(caught.value, PassingError)
    assert len(source.requests) == 1


def test_download_done_before_asks_nothing(source, tmp_path):
    first = fetch(source, tmp_path)
    source.requests.clear()
    assert fetch(source, tmp_path) == first
    assert source.requests == []


def test_download_killed_halfway_continues_where_it_was(source, tmp_path):
    source.bytes_a_second = 100_000
    code = (
        "import sys; from pathlib import Path; from components.crawl.http import Client;"
        "from components.crawl.download import download;"
        "download(Client(sys.argv[1]), 'f.gz', Path(sys.argv[2]))"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, source.url, str(tmp_path / "f.gz")],
        cwd=Path(__file__).parents[1],
        stderr=subprocess.DEVNULL,
    )
    partial = tmp_path / "f.gz.partial"
    while not partial.exists() or partial.stat().st_size < 50_000:
        assert child.poll() is None
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    source.bytes_a_second = None
    begun = partial.stat().st_size
    assert fetch(source, tmp_path).path.read_bytes() == CONTENT
    assert source.requests[-1] == ("/f.gz", f"bytes={begun}-")


def test_get_after_429_waits_as_long_as_asked(source):
    source.faults = ["429 1"]
    started = time.monotonic()
    with Client(source.url) as client:
        assert client.get("f.gz", body_of) == CONTENT
    assert time.monotonic() - started >= 1


def test_get_server_asks_to_wait_an_hour_ends_at_once(source):
    source.faults = ["503 3600"]
    with Client(source.url) as client, pytest.raises(PassingError, match="asks to wait 3600 s"):
        client.get("f.gz", body_of)


def test_get_nobody_listens_names_the_address():
    with serve_source(Source()) as gone:
        url = gone.url
    with Client(url) as client, pytest.raises(PassingError, match=f"{url}/x: gave up after 4 tries"):
        client.get("x", body_of)


def test_retry_after_comes_as_seconds_or_date():
    assert retry_after_seconds("7") == 7
    in_a_minute = email.utils.formatdate(time.time() + 60, usegmt=True)
    assert 55 < retry_after_seconds(in_a_minute) <= 60
    assert retry_after_seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert retry_after_seconds("soon") is None
    assert retry_after_seconds("²") is None
    assert retry_after_seconds("9" * 5000) is None


@pytest.mark.parametrize("size", ["²", "9" * 5000])
def test_download_size_that_is_no_number_is_no_size(source, tmp_path, size):
    digest = hashlib.sha256(CONTENT).hexdigest()
    source.headers = {"X-Linked-ETag": f'"{digest}"', "X-Linked-Size": size}
    assert fetch(source, tmp_path).sha256 == digest


@pytest.mark.parametrize(
    ("target", "network"),
    [
        ("http://169.254.169.254/latest/meta-data/", "link-local"),
        ("http://10.0.0.7/x", "private"),
        ("http://[fd00:ec2::254]/x", "private"),
        ("http://[::ffff:169.254.169.254]/x", "link-local"),
        ("http://2852039166/x", "link-local"),  # 169.254.169.254 in one number
    ],
)
def test_redirect_from_loopback_into_another_inner_network_is_refused(source, target, network):
    source.redirects = {"/f": target}
    with (
        Client(source.url) as client,
        pytest.raises(KajiyaError, match=f"redirects to .*, a {network} address"),
    ):
        client.get("f", body_of)


def test_redirect_within_loopback_is_followed(source):
    source.redirects = {"/f": source.url.replace("127.0.0.1", "localhost") + "/f.gz"}
    with Client(source.url) as client:
        assert client.get("f", body_of) == CONTENT


@pytest.mark.parametrize("inner", ["127.0.0.1", "localhost", "0.0.0.0", "192.168.1.1", "169.254.169.254"])
def test_redirect_from_a_public_host_inwards_is_refused(source, tmp_path, monkeypatch, inner):
    """The test's server is the proxy over which the public host is reached."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", source.url)
    public = "http://8.8.8.8"
    source.files = {"http://9.9.9.9/f.gz": CONTENT}
    source.redirects = {f"{public}/out.gz": "http://9.9.9.9/f.gz", f"{public}/in.gz": f"http://{inner}/f.gz"}
    with Client(public) as client:
        assert download(client, "out.gz", tmp_path / "out.gz").path.read_bytes() == CONTENT
        with pytest.raises(KajiyaError, match=rf"8\.8\.8\.8: the source redirects to {inner}, a "):
            download(client, "in.gz", tmp_path / "in.gz")
    assert [path for path, _ in source.requests][-1] == f"{public}/in.gz"


def test_address_on_another_host_is_not_taken_from_a_listing():
    with Client("https://mirror.example/dumps/") as client:
        assert client.url("/a/b?x=c://d") == "https://mirror.example/dumps/a/b?x=c://d"
        assert client.url("https://mirror.example/a") == "https://mirror.example/a"
        for other in ("http://169.254.169.254/x", "http://mirror.example/a", "https://mirror.example:8080/a"):
            with pytest.raises(KajiyaError, match="on another host"):
                client.url(other)


def test_client_of_a_real_site_asks_for_a_contact(monkeypatch):
    monkeypatch.delenv("KAJIYA_CONTACT", raising=False)
    with pytest.raises(KajiyaError, match="KAJIYA_CONTACT"):
        Client("https://dumps.wikimedia.org", contact_required=True)
    monkeypatch.setenv("KAJIYA_CONTACT", "team@example.org")
    agent = Client("https://dumps.wikimedia.org", contact_required=True).session.headers["User-Agent"]
    assert agent.startswith("kajiya/")
    assert agent.endswith("(+team@example.org)")


def test_get_body_that_trickles_is_given_up_and_asked_again(source, monkeypatch):
    monkeypatch.setenv("KAJIYA_HTTP_TIMEOUT_SECONDS", "0.2")
    monkeypatch.setattr("components.crawl.http.SLOWEST_BYTES_A_SECOND", 10**9)
    source.bytes_a_second = 300
    source.piece_bytes = 20
    with (
        Client(source.url) as client,
        pytest.raises(KajiyaError, match=r"gave up after 4 tries: only .* bytes in"),
    ):
        client.get("f.gz", body_of)


def test_download_that_trickles_is_continued_where_it_stood(source, tmp_path, monkeypatch):
    monkeypatch.setenv("KAJIYA_HTTP_TIMEOUT_SECONDS", "0.2")
    monkeypatch.setattr("components.crawl.http.SLOWEST_BYTES_A_SECOND", 10**9)
    source.bytes_a_second = 300_000
    assert fetch(source, tmp_path).path.read_bytes() == CONTENT
    assert len(source.requests) > 2
    assert source.body_bytes < 2 * len(CONTENT)


def test_download_packed_on_the_way_is_refused(source, tmp_path):
    source.headers = {"Content-Encoding": "gzip"}
    with pytest.raises(KajiyaError, match="came as Content-Encoding gzip"):
        fetch(source, tmp_path)


def test_redirects_in_a_circle_are_an_error_at_once(source):
    source.redirects = {"/a": "/b", "/b": "/a"}
    with Client(source.url) as client, pytest.raises(KajiyaError, match="redirects in a circle"):
        client.get("a", body_of)
    assert len(source.requests) < 30


def test_error_names_the_address_asked_without_the_key_it_redirected_to(source):
    source.redirects = {"/f": "/missing?X-Amz-Signature=s3cret&x=1"}
    with Client(source.url) as client, pytest.raises(KajiyaError, match=r"/f: HTTP 404") as caught:
        client.get("f", body_of)
    assert "s3cret" not in str(caught.value)


def test_address_is_shown_without_password_and_keys():
    address = "https://me:s3cret@a.example/x?AWSAccessKeyId=s3cret&page=2&X-Amz-Signature=s3cret#end"
    assert shown(address) == "https://***@a.example/x?AWSAccessKeyId=***&page=2&X-Amz-Signature=***#end"
    with pytest.raises(KajiyaError, match="with a password in it") as caught:
        Client("https://me:s3cret@a.example")
    assert "s3cret" not in str(caught.value)
