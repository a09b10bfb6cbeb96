"""The parts of eval.py besides the task's evaluation: command line, tables and report folder."""
