"""The program that runs train.py with a slow disk."""

import subprocess
import sys
import time

from jaxpose.soak import slow_images

PROGRAM = """
import pathlib, sys
import beside
assert __name__ == "__main__" and sys.argv[1:] == ["--flag=1"]
for _ in range(20):
    assert pathlib.Path("image.jpg").read_bytes() == b"pixels"
print(pathlib.Path("other.json").read_bytes())
"""


def run(folder, most):
    (folder / "code").mkdir()
    (folder / "code" / "program.py").write_text(PROGRAM)
    (folder / "code" / "beside.py").touch()
    (folder / "image.jpg").write_bytes(b"pixels")
    (folder / "other.json").write_bytes(b"{}")
    words = [sys.executable, slow_images.__file__, "0.5", str(most), "code/program.py", "--flag=1"]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)


def test_images_come_late_and_other_files_at_once(tmp_path):
    begin = time.monotonic()
    first, last = run(tmp_path, 0.1).stdout.splitlines()
    taken = time.monotonic() - begin
    number, _, seconds = last.removesuffix(" s").partition(f" {slow_images.LAST_LINE}: ")
    assert first == "b'{}'" and 0 < int(number) < 20
    assert 0 < float(seconds) <= taken + 0.05
