"""Paths of users, and outputs that are inputs."""

import argparse
import os
import pathlib

import pytest

from jaxpose.files import check_outputs, expand, path_argument, write_atomic


def test_the_home_folder_is_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    assert expand("~/a") == path_argument("~/a") == pathlib.Path("/home/someone/a")
    for same in ("a/~/b", "~no_such_user/a", "/a", "a~"):
        assert str(expand(same)) == same
    with pytest.raises(argparse.ArgumentTypeError, match="the path is empty"):
        path_argument(" ")


def test_an_output_is_never_an_input(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "a.jpg"
    source.write_text("a")
    (tmp_path / "hard.jpg").hardlink_to(source)
    (tmp_path / "soft.jpg").symlink_to(source)
    (tmp_path / "other.jpg").write_text("a")
    check_outputs([tmp_path / "new.jpg", tmp_path / "other.jpg"], [source, tmp_path / "none.jpg"])
    for name in ("a.jpg", "hard.jpg", "soft.jpg", f"../{tmp_path.name}/a.jpg"):
        with pytest.raises(ValueError, match=f"^{name} is an input.* would be overwritten"):
            check_outputs([tmp_path / "new.jpg", pathlib.Path(name)], [source])


def test_a_program_that_is_stopped_while_it_writes_leaves_no_file(tmp_path, monkeypatch):
    def stopped(descriptor):
        raise SystemExit(143)  # the handler of SIGTERM

    monkeypatch.setattr(os, "fsync", stopped)
    with pytest.raises(SystemExit):
        write_atomic(tmp_path / "config.json", "{}")
    assert list(tmp_path.iterdir()) == []
