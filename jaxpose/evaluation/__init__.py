"""What eval.py adds to the scores of a task: its command line, the tables and the report folder."""
