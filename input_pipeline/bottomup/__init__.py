"""Bottom-up examples: one whole image with everyone in it."""

from input_pipeline.bottomup.examples import EvalExamples, TrainExamples

__all__ = ["EvalExamples", "TrainExamples"]
