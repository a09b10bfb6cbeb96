"""What train.py and eval.py are made of: state, step, schedule, checkpoints, logs."""
