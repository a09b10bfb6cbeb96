"""Messages about checkpoints."""

from jaxpose.runs.arrays import first_line


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
