"""Downloads from a local server with the faults of real ones."""

import concurrent.futures
import hashlib
import socket
import ssl

import pytest

from jaxpose.weights import Checkpoint, DownloadError, download, fetch, verify
from tests.helpers.server import serve

CONTENT = bytes(range(256)) * 4000  # 1 MB
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXPOSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("JAXPOSE_MIRROR", raising=False)
    monkeypatch.setattr(download, "PAUSE", 0.0)
    monkeypatch.setattr(download, "TIMEOUT", 0.3)
    return tmp_path / "cache"


@pytest.fixture
def server():
    with serve({"net.pth": CONTENT}) as server:
        yield server


def checkpoint(url, sha256=DIGEST[:8], **changes):
    return Checkpoint("net", "hrnet_w32", url, sha256, "coco", (256, 192), **changes)


@pytest.mark.parametrize("fault,requests", [("ok", 1), ("moved", 2), ("busy", 3)])
def test_a_file_is_downloaded_once(server, cache, fault, requests, capsys):
    wanted = checkpoint(f"{server.address}/{fault}/net.pth")
    path = fetch(wanted)
    assert path.parent == cache and path.read_bytes() == CONTENT
    assert len(server.requests) == requests
    assert "1.0/1.0 MB" in capsys.readouterr().err
    assert fetch(wanted) == path
    assert len(server.requests) == requests
    assert [p.name for p in cache.iterdir()] == [f"{DIGEST[:8]}-net.pth"]


def test_a_cut_off_download_is_resumed(server):
    path = fetch(checkpoint(f"{server.address}/cut/net.pth"))
    assert path.read_bytes() == CONTENT
    assert [given for _, given in server.requests] == [None, f"bytes={len(CONTENT) // 2}-"]


def test_a_server_that_cannot_resume_sends_all_again(server):
    path = fetch(checkpoint(f"{server.address}/norange/net.pth"))
    assert path.read_bytes() == CONTENT and len(server.requests) == 2


def test_the_next_command_resumes(server):
    wanted = checkpoint(f"{server.address}/always_cut/net.pth")
    with pytest.raises(
        DownloadError, match=r"ended the download .* the next try resumes after \d+ bytes"
    ):
        fetch(wanted)
    kept = len(CONTENT) - len(CONTENT) // 8
    part = download.cached_path(wanted).with_name(f"{DIGEST[:8]}-net.pth.part")
    assert part.stat().st_size == kept
    path = fetch(checkpoint(f"{server.address}/ok/net.pth"))
    assert path.read_bytes() == CONTENT and not part.exists()
    assert server.requests[-1][1] == f"bytes={kept}-"


def test_two_commands_download_one_file_once(server, cache, capsys):
    """The second waits for the first, also if the first resumes."""
    cache.mkdir()
    (cache / f"{DIGEST[:8]}-net.pth.part").write_bytes(CONTENT[:5000])
    wanted = checkpoint(f"{server.address}/cut/net.pth")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: fetch(wanted), range(4)))
    assert {path.read_bytes() for path in paths} == {CONTENT}
    assert len(server.requests) == 2
    assert [p.name for p in cache.iterdir()] == [f"{DIGEST[:8]}-net.pth"]
    assert "waiting for its download by another process" in capsys.readouterr().err


def test_a_complete_part_needs_no_byte_more(server, cache):
    wanted = checkpoint(f"{server.address}/ok/net.pth")
    cache.mkdir()
    (cache / f"{DIGEST[:8]}-net.pth.part").write_bytes(CONTENT)
    assert fetch(wanted).read_bytes() == CONTENT
    assert len(server.requests) == 1


@pytest.mark.parametrize("length", [5000, len(CONTENT) + 5])
def test_a_part_of_another_file_is_not_kept(server, cache, length):
    cache.mkdir()
    (cache / f"{DIGEST[:8]}-net.pth.part").write_bytes(b"x" * length)
    assert fetch(checkpoint(f"{server.address}/ok/net.pth")).read_bytes() == CONTENT


def test_a_wrong_hash_is_refused_before_the_file_is_read(server, cache):
    wanted = checkpoint(f"{server.address}/ok/net.pth", "0" * 10)
    with pytest.raises(
        DownloadError, match=rf"begins with {DIGEST[:10]}, but the table has 0000000000"
    ):
        fetch(wanted)
    assert list(cache.iterdir()) == []


def test_a_changed_file_in_the_cache_is_replaced(server):
    wanted = checkpoint(f"{server.address}/ok/net.pth")
    path = fetch(wanted)
    path.write_bytes(b"x")
    assert fetch(wanted).read_bytes() == CONTENT


def one_line(error):
    assert "\n" not in str(error) and "urlopen" not in str(error) and "Errno" not in str(error)
    return str(error)


def test_an_address_that_does_not_exist(server, cache):
    with pytest.raises(DownloadError, match=r"answered 404 Not Found; .*mirror") as caught:
        fetch(checkpoint(f"{server.address}/ok/other.pth"))
    one_line(caught.value)
    assert len(server.requests) == 1 and list(cache.iterdir()) == []


def test_a_server_that_does_not_answer(server):
    server.delay = 0.6
    with pytest.raises(DownloadError, match=r"did not answer within 0\.3 seconds") as caught:
        fetch(checkpoint(f"{server.address}/silent/net.pth"))
    one_line(caught.value)


def test_without_a_network_one_line_says_what_to_fetch(cache):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(DownloadError) as caught:
        fetch(checkpoint(f"{address}/net.pth"))
    message = one_line(caught.value)
    assert (
        f"download {address}/net.pth yourself and save it as {cache}/{DIGEST[:8]}-net.pth"
        in message
    )
    assert "--file" in message and "no connection to 127.0.0.1" in message
    assert "(Connection refused)" in message


def test_the_reason_without_a_connection_is_short():
    certificate = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] failed")
    certificate.verify_message = "certificate has expired"
    assert download._short(certificate) == " (certificate has expired)"
    proxy = OSError("Tunnel connection failed: 407 Proxy Authentication Required")
    assert download._short(proxy) == f" ({proxy})"
    assert download._short("") == ""


def test_an_address_is_quoted_and_one_that_is_none_is_tried_once(server):
    server.files["my net.pth"] = server.files["my%20net.pth"] = CONTENT
    path = fetch(checkpoint(f"{server.address}/ok/my net.pth"))
    assert path.read_bytes() == CONTENT and server.requests[0][0] == "/ok/my%20net.pth"
    with pytest.raises(DownloadError, match="is not an address") as caught:
        fetch(checkpoint("http://127.0.0.1:port/net.pth"))
    one_line(caught.value)


def test_a_file_put_into_the_cache_by_hand_is_used(cache):
    wanted = checkpoint(f"http://127.0.0.1:9/net-{DIGEST[:8]}.pth")
    cache.mkdir()
    (cache / f"net-{DIGEST[:8]}.pth").write_bytes(CONTENT)
    assert fetch(wanted) == cache / f"net-{DIGEST[:8]}.pth"


def test_a_mirror_replaces_the_host(server, monkeypatch):
    monkeypatch.setenv("JAXPOSE_MIRROR", f"{server.address}/ok/")
    assert fetch(checkpoint("https://download.example/a/net.pth")).read_bytes() == CONTENT
    assert server.requests[0][0] == "/ok/a/net.pth"
    monkeypatch.setenv("JAXPOSE_MIRROR", "mirror.example")
    with pytest.raises(DownloadError, match="JAXPOSE_MIRROR=mirror.example: must be an http"):
        download.address("https://download.example/net.pth")


def test_file_addresses_are_used_where_they_are(tmp_path, cache, monkeypatch):
    monkeypatch.setenv("JAXPOSE_MIRROR", "http://127.0.0.1:9")
    file = tmp_path / "my net.pth"
    wanted = checkpoint(file.as_uri())
    with pytest.raises(DownloadError, match="no file"):
        fetch(wanted)
    file.write_bytes(CONTENT)
    assert fetch(wanted) == file and not cache.exists()
    file.write_bytes(b"x")
    with pytest.raises(DownloadError, match="the file was not read"):
        verify(file, wanted)


def test_what_cannot_be_imported_is_not_downloaded(server):
    with pytest.raises(DownloadError, match="net cannot be imported: another head"):
        fetch(checkpoint(f"{server.address}/ok/net.pth", refused="another head"))
    assert server.requests == []
