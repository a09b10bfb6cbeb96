"""Top-down examples: one person per crop."""

from input_pipeline.topdown.examples import EvalExamples, TrainExamples

__all__ = ["EvalExamples", "TrainExamples"]
