"""The parts of train.py: state, step, schedule, checkpoints, logs."""
