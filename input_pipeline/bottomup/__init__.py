"""Bottom-up examples: one picture with everybody in it."""
