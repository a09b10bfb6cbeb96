"""Conversion of public PyTorch checkpoints to Flax variables, and back."""

from jaxpose.convert.state_dict import from_torch, to_torch_state_dict

__all__ = ["from_torch", "to_torch_state_dict"]
