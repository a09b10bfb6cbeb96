"""Folders on object stores: URLs of Google Cloud Storage and Amazon S3, through fsspec.

An object store has files and prefixes, no folders: nothing is renamed and nothing is appended to. A
file that is written is complete or absent. `RemotePath` has the methods of `pathlib.Path` that a
run folder needs; each failure is one line with the URL.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import pathlib
import re
import tempfile
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import fsspec

# Scheme of a URL -> (package that fsspec reads it with, extra of jaxpose that installs it).
SCHEMES = {"gs": ("gcsfs", "gcs"), "s3": ("s3fs", "s3")}
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://+(.*)", re.DOTALL)


class RemoteError(OSError):
    """A remote file cannot be read or written."""


def is_url(path: object) -> bool:
    """Whether a path is a URL.

    >>> is_url("gs://bucket/runs"), is_url("runs/gs")
    (True, False)
    """
    return isinstance(path, RemotePath) or bool(_URL.match(str(path)))


@dataclasses.dataclass(frozen=True)
class RemotePath:
    """A file or folder on an object store.

    Attributes:
      url: e.g. "gs://bucket/runs/hwl", without a slash at its end.
    """

    url: str

    @staticmethod
    def parse(text: str) -> RemotePath:
        """The path of a URL.

        Raises:
          ValueError: a scheme that is not supported, no bucket, or a sign of search patterns.
        """
        match = _URL.match(text)
        scheme, path = match.groups() if match else ("", "")
        if scheme not in SCHEMES:
            known = " or ".join(f"{name}://" for name in SCHEMES)
            raise ValueError(f"{text}: not supported; give a local path or a URL with {known}")
        if special := [sign for sign in "*?[]" if sign in path]:
            # fsspec would search by it, find no checkpoint, and a run would start over.
            raise ValueError(f"{text}: {special[0]} is not supported in a URL; choose another name")
        parts = [part for part in path.split("/") if part]
        if not parts:
            raise ValueError(f"{text}: the name of the bucket is missing")
        return RemotePath(f"{scheme}://{'/'.join(parts)}")

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> RemotePath:
        return RemotePath(f"{self.url}/{name}")

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        return pathlib.PurePosixPath(self.name).suffix

    @property
    def parent(self) -> RemotePath:
        """The folder; that of a bucket is the bucket itself."""
        parent = self.url.rpartition("/")[0]
        return self if parent.endswith("/") else RemotePath(parent)

    def exists(self) -> bool:
        with self._errors():
            return self._fs.exists(self.url)

    def is_dir(self) -> bool:
        with self._errors():
            return self._fs.isdir(self.url)

    def is_file(self) -> bool:
        with self._errors():
            return self._fs.isfile(self.url)

    def mkdir(self, parents: bool = False, exist_ok: bool = False) -> None:
        """Does nothing: a folder exists while it has files."""

    def read_bytes(self) -> bytes:
        with self._errors():
            return self._fs.cat_file(self.url)

    def read_text(self, encoding: str = "utf-8") -> str:
        return self.read_bytes().decode(encoding)

    def write_bytes(self, content: bytes) -> None:
        """Writes a file, which is complete or absent for all readers."""
        with self._errors(missing=False):
            self._fs.pipe_file(self.url, content)

    def unlink(self, missing_ok: bool = False) -> None:
        with contextlib.suppress(*[FileNotFoundError] * missing_ok), self._errors():
            self._fs.rm_file(self.url)

    def glob(self, pattern: str) -> list[RemotePath]:
        """The files that match, sorted."""
        with self._errors():
            found = self._fs.glob(f"{self.url}/{pattern}")
        return sorted(map(self._path, found), key=str)

    def files(self) -> list[RemotePath]:
        """All files below the folder, sorted."""
        with self._errors():
            found = self._fs.find(self.url)
        return sorted(map(self._path, found), key=str)

    def remove(self, first: str = "") -> None:
        """Removes all files below the folder, `first` before all others."""
        files = self.files()
        if self / first in files:
            (self / first).unlink()
            files.remove(self / first)
        if files:
            with self._errors():
                self._fs.rm([file.url for file in files])

    def copy(self, target: RemotePath) -> None:
        """Copies all files below the folder to the folder `target`."""
        for file in self.files():
            with self._errors(missing=False):
                self._fs.cp_file(file.url, f"{target}{file.url.removeprefix(self.url)}")

    def download(self, folder: pathlib.Path) -> None:
        """Copies all files below this folder to a local folder."""
        files = self.files()
        targets = [folder / file.url.removeprefix(f"{self.url}/") for file in files]
        for parent in {target.parent for target in targets}:
            parent.mkdir(parents=True, exist_ok=True)
        with self._errors():
            self._fs.get([file.url for file in files], [str(target) for target in targets])

    def upload(self, folder: pathlib.Path, last: Iterable[str] = ()) -> None:
        """Copies all files below a local folder to this folder, those named `last` at the end."""
        names = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]
        late = [name for name in last if name in names]
        early = [name for name in names if name not in late]
        for group in filter(None, (early, late)):
            with self._errors(missing=False):
                self._fs.put(
                    [str(folder / name) for name in group], [f"{self}/{name}" for name in group]
                )

    def _path(self, found: str) -> RemotePath:
        scheme = self.url.partition("://")[0]
        return RemotePath(f"{scheme}://{found.partition('://')[2] or found.lstrip('/')}")

    @property
    def _fs(self) -> fsspec.AbstractFileSystem:
        import fsspec

        logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # it logs what it also raises
        # Other hosts and programs write to the same folder, so no listing is kept.
        return fsspec.core.url_to_fs(self.url, use_listings_cache=False)[0]

    @contextlib.contextmanager
    def _errors(self, *, missing: bool = True) -> Iterator[None]:
        """Turns the errors of the storage packages, which share no base class, into one line.

        Args:
          missing: keep FileNotFoundError; without a bucket, writing raises it too.
        """
        package, extra = SCHEMES[self.url.partition("://")[0]]
        try:
            yield
        except ImportError as error:
            raise ImportError(
                f"{self}: {package} is not installed: pip install 'jaxpose[{extra}]'"
            ) from error
        except Exception as error:
            if missing and isinstance(error, FileNotFoundError):
                raise
            raise RemoteError(f"{self}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    text = re.sub(r"\s+", " ", str(error)).strip()
    kind = "access denied" if isinstance(error, PermissionError) else type(error).__name__
    return f"{kind}: {text}"[:240] if text else kind


@contextlib.contextmanager
def local_copy(folder: pathlib.Path | RemotePath) -> Iterator[pathlib.Path]:
    """A local folder itself, or a temporary copy of a remote one.

    Raises:
      RemoteError: the remote folder cannot be read.
    """
    if isinstance(folder, pathlib.Path):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="jaxpose-") as temporary:
        copy = pathlib.Path(temporary) / folder.name
        copy.mkdir()
        folder.download(copy)
        yield copy
