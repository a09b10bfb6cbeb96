"""Paths on object stores, in memory: what they do, and that each failure is one line."""

import importlib
import pathlib
import sys

import fsspec
import pytest

from jaxpose import remote
from jaxpose.files import check_outputs, expand, location, path_argument, write_atomic
from jaxpose.remote import RemoteError, RemotePath, local_copy


@pytest.fixture
def folder(memory_store):
    return RemotePath(f"{memory_store}/run")


def test_files_are_written_read_and_removed(folder):
    assert not folder.exists() and not folder.is_dir()
    write_atomic(folder / "config.json", "{}")
    assert folder.is_dir() and not folder.is_file()
    file = folder / "config.json"
    assert file.is_file() and file.read_text() == "{}" and file.read_bytes() == b"{}"
    assert (file.name, file.suffix, file.parent) == ("config.json", ".json", folder)
    write_atomic(file, b"[]")
    assert file.read_text() == "[]"
    file.unlink()
    file.unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        file.unlink()
    with pytest.raises(FileNotFoundError):
        file.read_text()
    assert not folder.exists()


def test_folders_are_copied_and_removed(folder, tmp_path):
    for name in ("a", "b/c", "b/marker"):
        path = tmp_path / "here" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (folder / "1").upload(tmp_path / "here", last=["a"])
    names = ["a", "b/c", "b/marker"]
    assert [str(f) for f in (folder / "1").files()] == [f"{folder}/1/{name}" for name in names]
    with local_copy(folder / "1") as copy:
        assert {name: (copy / name).read_text() for name in names} == {name: name for name in names}
    assert not copy.exists()
    with local_copy(tmp_path) as same:
        assert same == tmp_path
    (folder / "1").copy(folder / "2")
    (folder / "1").remove(first="a")
    assert [str(f) for f in folder.files()] == [f"{folder}/2/{name}" for name in names]
    assert folder.glob("*/a") == [folder / "2" / "a"]


def test_the_marker_is_written_last_and_removed_first(folder, tmp_path, monkeypatch):
    for name in ("a", "marker", "z"):
        (tmp_path / name).write_text(name)
    store, steps = fsspec.filesystem("memory"), []
    put, rm_file, rm = store.put, store.rm_file, store.rm
    monkeypatch.setattr(store, "put", lambda a, b: (steps.append(sorted(b)), put(a, b)))
    monkeypatch.setattr(store, "rm_file", lambda a: (steps.append([a]), rm_file(a)))
    monkeypatch.setattr(store, "rm", lambda a: (steps.append(sorted(a)), rm(a)))
    monkeypatch.setattr(RemotePath, "_fs", store)
    folder.upload(tmp_path, last=["marker"])
    assert steps == [[f"{folder}/a", f"{folder}/z"], [f"{folder}/marker"]]
    steps.clear()
    folder.remove(first="marker")
    assert steps[0] == [f"{folder}/marker"] and f"{folder}/a" in steps[1]


def test_paths_are_local_or_remote():
    assert location("gs://bucket//runs/a/") == RemotePath("gs://bucket/runs/a")
    assert location("runs/a") == pathlib.Path("runs/a")
    assert location(RemotePath("s3://b/c")).parent == RemotePath("s3://b")
    assert RemotePath("s3://b").parent == RemotePath("s3://b")
    for wrong, message in (
        ("http://host/runs", "give a local path or a URL with gs:// or s3://"),
        ("s3://", "the name of the bucket is missing"),
        ("gs://bucket/lr=[0.1]", r"gs://bucket/lr=\[0.1\]: \[ is not supported in a URL"),
    ):
        with pytest.raises(ValueError, match=message):
            location(wrong)


def test_other_files_are_local(tmp_path):
    with pytest.raises(ValueError, match="only run folders and reports can be URLs"):
        expand("s3://bucket/image.jpg")
    with pytest.raises(Exception, match="s3://bucket/out: give a local path"):
        path_argument("s3://bucket/out")
    check_outputs([RemotePath("s3://b/c"), tmp_path], [RemotePath("s3://b/c")])


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (PermissionError("Forbidden"), "access denied: Forbidden"),
        (RuntimeError("cannot\n  connect"), "RuntimeError: cannot connect"),
    ],
)
def test_a_failure_is_one_line_with_the_url(folder, error, text, monkeypatch):
    def fail(*_, **__):
        raise error

    for name in ("exists", "cat_file", "pipe_file", "find", "put", "get"):
        monkeypatch.setattr(fsspec.get_filesystem_class("memory"), name, fail)
    for action in (folder.exists, folder.read_bytes, folder.files, lambda: folder.write_bytes(b"")):
        with pytest.raises(RemoteError) as raised:
            action()
        assert str(raised.value) == f"{folder}: {text}"


def test_a_missing_bucket_is_named(folder, monkeypatch):
    def fail(*_, **__):
        raise FileNotFoundError("The specified bucket does not exist")

    monkeypatch.setattr(fsspec.get_filesystem_class("memory"), "pipe_file", fail)
    with pytest.raises(RemoteError, match=f"{folder}: .*bucket does not exist"):
        folder.write_bytes(b"")


@pytest.mark.parametrize("url", ["gs://bucket/run", "s3://bucket/run"])
def test_a_missing_package_is_named(url, monkeypatch):
    package, extra = remote.SCHEMES[url[:2]]
    monkeypatch.setitem(sys.modules, package, None)
    known = importlib.import_module("fsspec.registry")._registry
    for name in ("gs", "gcs", "s3"):
        monkeypatch.delitem(known, name, raising=False)
    with pytest.raises(ImportError, match=rf"{package} is not installed: .*jaxpose\[{extra}\]"):
        RemotePath.parse(url).exists()
