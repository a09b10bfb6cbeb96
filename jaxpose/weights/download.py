"""Downloads checkpoints into a cache and verifies them.

JAXPOSE_CACHE is the cache's folder (default: ~/.cache/jaxpose/weights). JAXPOSE_MIRROR, e.g.
https://mirror.example/openmmlab, replaces scheme and host of all http and https addresses.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import pathlib
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from typing import IO

from jaxpose.weights.checkpoint import Checkpoint

TIMEOUT = 30.0  # seconds without an answer
ATTEMPTS = 3
PAUSE = 1.0  # seconds between attempts
_BLOCK = 1 << 18  # bytes


class DownloadError(ValueError):
    """A file could not be downloaded, or its hash is not that of the table."""


class _Retry(Exception):
    """An attempt failed, but another one may succeed; the message has the reason."""


def cache_folder() -> pathlib.Path:
    """The folder of downloaded checkpoints."""
    given = os.environ.get("JAXPOSE_CACHE")
    return pathlib.Path(given or "~/.cache/jaxpose/weights").expanduser()


def cached_path(checkpoint: Checkpoint) -> pathlib.Path:
    """The path of a checkpoint's file in the cache, whether or not it exists."""
    name = pathlib.PurePosixPath(urllib.parse.urlsplit(checkpoint.url).path).name or "weights.pth"
    digits = checkpoint.sha256[:8]
    return cache_folder() / (name if digits in name else f"{digits}-{name}")


def local_path(checkpoint: Checkpoint) -> pathlib.Path | None:
    """The path of a checkpoint's file if its address is a file address; it may not exist."""
    parts = urllib.parse.urlsplit(address(checkpoint.url))
    if parts.scheme != "file":
        return None
    return pathlib.Path(urllib.request.url2pathname(parts.path))


def address(url: str) -> str:
    """The address to download from: `url`, or the same path on JAXPOSE_MIRROR.

    Raises:
      DownloadError: JAXPOSE_MIRROR is not an http, https or file address.
    """
    mirror = os.environ.get("JAXPOSE_MIRROR", "").rstrip("/")
    if not mirror or urllib.parse.urlsplit(url).scheme == "file":
        return url
    if urllib.parse.urlsplit(mirror).scheme not in ("http", "https", "file"):
        raise DownloadError(f"JAXPOSE_MIRROR={mirror}: must be an http, https or file address")
    parts = urllib.parse.urlsplit(url)
    return mirror + urllib.parse.urlunsplit(("", "", parts.path, parts.query, ""))


def fetch(checkpoint: Checkpoint) -> pathlib.Path:
    """The verified file of a checkpoint: from the cache, or downloaded into it.

    An interrupted download is resumed. If another process downloads the same file, this one waits.
    A file with a file address is used without a copy.

    Raises:
      DownloadError: the checkpoint cannot be imported, the file cannot be downloaded, or its
        SHA-256 is not that of the table.
    """
    if checkpoint.refused:
        raise DownloadError(f"{checkpoint.name} cannot be imported: {checkpoint.refused}")
    path = local_path(checkpoint)
    if path is not None:
        if not path.is_file():
            raise DownloadError(f"{checkpoint.name}: no file {path}")
        return verify(path, checkpoint)
    source, path = address(checkpoint.url), cached_path(checkpoint)
    if _is_cached(path, checkpoint):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    with _locked(part, checkpoint.name):
        # Another process may have downloaded the file in the meantime.
        return path if _is_cached(path, checkpoint) else _fetch(source, part, checkpoint, path)


def find_file(path: pathlib.Path, table: Sequence[Checkpoint]) -> Checkpoint | None:
    """The checkpoint of a table whose file this is, by its SHA-256; None if there is none."""
    digest = _sha256(path)
    return next((c for c in table if c.sha256 and digest.startswith(c.sha256)), None)


def _is_cached(path: pathlib.Path, checkpoint: Checkpoint) -> bool:
    return path.is_file() and _sha256(path).startswith(checkpoint.sha256)


@contextlib.contextmanager
def _locked(part: pathlib.Path, name: str) -> Iterator[None]:
    """Creates `part` and locks it, where the file system can; in the end, removes it if empty."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    while True:
        file = open(part, "ab")  # noqa: SIM115
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"{name}: waiting for its download by another process", file=sys.stderr)
                fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            pass  # a file system without locks
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), part.stat()):
                break
        file.close()  # the other process has renamed or removed it
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            if part.stat().st_size == 0:
                part.unlink()
        file.close()


def _fetch(
    source: str, part: pathlib.Path, checkpoint: Checkpoint, path: pathlib.Path
) -> pathlib.Path:
    resumed = _size(part) > 0
    _download(source, part, checkpoint, path)
    if resumed and not _sha256(part).startswith(checkpoint.sha256):
        print("the resumed download has the wrong SHA-256: downloading the file again", flush=True)
        os.truncate(part, 0)  # it stays, because it is locked
        _download(source, part, checkpoint, path)
    try:
        verify(part, checkpoint, source)
    except DownloadError:
        part.unlink()  # so that the next attempt does not resume it
        raise
    os.replace(part, path)
    return path


def verify(path: pathlib.Path, checkpoint: Checkpoint, source: str = "") -> pathlib.Path:
    """Returns `path` if its SHA-256 begins as the table says; nothing in the file is executed.

    Raises:
      DownloadError: it begins in another way.
    """
    digest = _sha256(path)
    if not digest.startswith(checkpoint.sha256):
        shown = digest[: max(8, len(checkpoint.sha256))]
        raise DownloadError(
            f"{source or path}: its SHA-256 begins with {shown}, but the table has "
            f"{checkpoint.sha256} for {checkpoint.name}; the file was not read"
        )
    return path


def _size(path: pathlib.Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _sha256(path: pathlib.Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _download(source: str, part: pathlib.Path, checkpoint: Checkpoint, path: pathlib.Path) -> None:
    reason = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE)
        try:
            _attempt(source, part, checkpoint)
            return
        except _Retry as error:
            reason = str(error)
    kept = f"; the next try resumes after {_size(part)} bytes" if _size(part) else ""
    raise DownloadError(
        f"{checkpoint.name}: {reason}{kept}; or download {source} yourself and save it as {path}, "
        "or give it with --file"
    )


def _attempt(source: str, part: pathlib.Path, checkpoint: Checkpoint) -> None:
    """Downloads the rest of a file once.

    Raises:
      DownloadError: the server refuses.
      _Retry: no answer, or the connection ended early.
    """
    start = _size(part)
    host = urllib.parse.urlsplit(source).netloc
    request = urllib.request.Request(_quoted(source), headers={"User-Agent": "jaxpose"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            if start and not _continues(answer, start):
                start = 0
            length = answer.headers.get("Content-Length")
            total = start + int(length) if length and length.isdecimal() else None
            with open(part, "ab" if start else "wb") as file:
                _copy(answer, file, start, total, checkpoint.name)
        size = part.stat().st_size
        if total is not None and size < total:
            raise _Retry(f"{host} ended the download after {size} of {total} bytes")
    except urllib.error.HTTPError as error:
        if error.code == 416 and start:  # nothing is left to send, or the file has changed
            if error.headers.get("Content-Range", "").rpartition("/")[2] == str(start):
                return
            os.truncate(part, 0)
            raise _Retry(f"{host} cannot resume the download") from None
        meaning = http.client.responses.get(error.code, "")
        message = f"{source}: the server answered {error.code} {meaning}".rstrip()
        if error.code >= 500 or error.code == 429:
            raise _Retry(message) from None
        raise DownloadError(
            f"{checkpoint.name}: {message}; is the address right, or is there a mirror "
            "(JAXPOSE_MIRROR)?"
        ) from None
    except TimeoutError:
        raise _Retry(f"{host} did not answer within {TIMEOUT:g} seconds") from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise _Retry(f"{host} did not answer within {TIMEOUT:g} seconds") from None
        raise _Retry(f"no connection to {host}{_short(error.reason)}") from None
    except (http.client.InvalidURL, UnicodeError):
        raise DownloadError(f"{checkpoint.name}: {source} is not an address") from None
    except (http.client.HTTPException, ConnectionError):
        raise _Retry(f"{host} ended the connection") from None


def _quoted(source: str) -> str:
    """The address with %20 for a space, and so on; what is quoted already stays."""
    return urllib.parse.quote(source, safe="%/:=&?~#+!$,;'@()*[]")


def _short(reason: object) -> str:
    """` (certificate has expired)`: why there is no connection, as the system says; or ""."""
    text = getattr(reason, "verify_message", None) or getattr(reason, "strerror", None)
    text = str(text or reason).partition("\n")[0].strip()
    return f" ({text})" if text else ""


def _continues(answer: http.client.HTTPResponse, start: int) -> bool:
    """Whether the answer begins at byte `start`; a server may send the whole file instead."""
    content_range = answer.headers.get("Content-Range", "")
    return answer.status == 206 and content_range.startswith(f"bytes {start}-")


def _copy(
    answer: http.client.HTTPResponse, file: IO[bytes], done: int, total: int | None, name: str
) -> None:
    """Writes the body of an answer to a file, with a progress bar if a person is watching."""
    terminal = sys.stderr.isatty()
    begin, first, shown = time.monotonic(), done, 0.0
    while block := answer.read(_BLOCK):
        file.write(block)
        done += len(block)
        now = time.monotonic()
        if terminal and (now - shown > 0.2 or done == total):
            shown = now
            speed = (done - first) / max(now - begin, 1e-3)
            print(f"\r{_bar(name, done, total)}  {speed / 1e6:.1f} MB/s", end="", file=sys.stderr)
    if terminal:
        print(file=sys.stderr)
    else:
        print(_bar(name, done, total), file=sys.stderr, flush=True)


def _bar(name: str, done: int, total: int | None) -> str:
    if not total:
        return f"{name}  {done / 1e6:.1f} MB"
    filled = round(20 * done / total)
    bar = "#" * filled + "." * (20 - filled)
    return f"{name}  [{bar}]  {done / 1e6:.1f}/{total / 1e6:.1f} MB"
