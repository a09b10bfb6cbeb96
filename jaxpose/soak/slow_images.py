"""Runs a program with a slow disk: slow_images.py SEED SECONDS PROGRAM ARGUMENT...

Half of the image files are read up to SECONDS later, at random. The last line of the output says
how many. A trial starts this file by its path, with the command line of train.py behind it.
"""

import atexit
import pathlib
import random
import runpy
import sys
import time

SUFFIXES = (".jpg", ".png")
LAST_LINE = "images were read late"


def main() -> None:
    """Delays `pathlib.Path.read_bytes`, with which images are read, and runs the program."""
    seed, most, program = sys.argv[1:4]
    rng, read_bytes, delays = random.Random(seed), pathlib.Path.read_bytes, []

    def read_late(path: pathlib.Path) -> bytes:
        if path.suffix in SUFFIXES and rng.random() < 0.5:
            delays.append(rng.uniform(0, float(most)))
            time.sleep(delays[-1])
        return read_bytes(path)

    pathlib.Path.read_bytes = read_late  # type: ignore[assignment, method-assign]
    atexit.register(lambda: delays and print(f"{len(delays)} {LAST_LINE}: {sum(delays):.1f} s"))
    sys.argv = sys.argv[3:]
    sys.path[0] = str(pathlib.Path(program).parent)  # as if it had been started itself
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main()
