"""Messages about checkpoints, and which errors are damage."""

import errno
import os
import resource

import numpy as np
import orbax.checkpoint as ocp
import pytest

from jaxpose.runs.arrays import DamagedError, contents, first_line, read_items, read_score


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A checkpoint of one array."""
    folder = tmp_path_factory.mktemp("checkpoints")
    with ocp.CheckpointManager(folder) as manager:
        manager.save(3, args=contents({"model": {"array": np.ones(9)}}, step=3), force=True)
        manager.wait_until_finished()
    return folder / "3"


def test_a_long_error_keeps_what_failed_and_why():
    path = "/scratch/" + 30 * "long/"
    error = ValueError(
        f'RESOURCE_EXHAUSTED: Error writing "a/0" in OCDBT database at\nlocal file "{path}": '
        f'Failed writing: "{path}d/39": Failed to write 2825 bytes to file 4: No space left on '
        "device [os_error_code='28'] [tensorstore_spec='{\"driver\":\"zarr\"}']"
    )
    line = first_line(error)
    assert line.startswith('ValueError: RESOURCE_EXHAUSTED: Error writing "a/0" in OCDBT')
    assert line.endswith("No space left on device") and len(line) <= 160
    assert first_line(OSError("too\n  short")) == "OSError: too short"


def system_error(number):
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (system_error(errno.EIO), OSError),
        (system_error(errno.EACCES), OSError),
        (system_error(errno.ESTALE), OSError),
        (system_error(errno.EMFILE), OSError),
        (ValueError("UNKNOWN: Error reading: Input/output error [os_error_code='5']"), OSError),
        (system_error(errno.ENOENT), DamagedError),
        (system_error(errno.ENOTDIR), DamagedError),
        (ValueError("NOT_FOUND: No such file or directory [os_error_code='2']"), DamagedError),
        (ValueError("OUT_OF_RANGE: Requested byte range [0, 9) is not valid"), DamagedError),
        (KeyError("array"), DamagedError),
    ],
    ids=str,
)
def test_a_storage_that_fails_is_not_damage(written, monkeypatch, error, kind):
    def restore(*_, **__):
        raise error

    monkeypatch.setattr(ocp.PyTreeCheckpointer, "restore", restore)
    with pytest.raises((OSError, DamagedError)) as caught:
        read_items(written, ("model",))
    assert isinstance(caught.value, kind) and "\n" not in str(caught.value)
    if kind is OSError:
        assert str(caught.value).startswith(f"{written}/model cannot be read (")


def test_no_more_open_files_is_not_damage(written):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        with pytest.raises(OSError, match="manifest cannot be read .*Too many open files"):
            read_items(written, ("model",))
        with pytest.raises(OSError, match="Too many open files"):
            read_score(written)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert read_items(written, ("model",))["model"]["array"].sum() == 9


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("part", ["model", "model/_METADATA", "model/ocdbt.process_0", "manifest"])
def test_what_may_not_be_read_is_not_damage(written, part):
    path = written / part
    before = path.stat().st_mode
    path.chmod(0)
    try:
        with pytest.raises(OSError, match="Permission denied"):
            read_items(written, ("model",))
    finally:
        path.chmod(before)
