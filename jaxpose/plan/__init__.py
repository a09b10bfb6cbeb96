"""`jaxpose plan`: the training step compiled for accelerators that this machine does not have."""
