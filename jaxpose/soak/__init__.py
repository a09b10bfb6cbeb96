"""Breaks real trainings on purpose, and checks that they recover to the byte.

    python -m jaxpose.soak --faults 200 --seed 0 -o runs/soak

Each trial starts train.py, applies one fault at a random moment, repeats the same command until it
is complete, and compares checkpoints, metrics.jsonl and config.json with an uninterrupted run.

* `moments` picks when a fault happens.
* `training` starts train.py and watches it.
* `trial` is one trial: its folder, its commands, and the comparison (`compare`).
* `processes`, `damage`, `surroundings` have the faults; `faults` lists them.
* `report` counts and prints.
"""
