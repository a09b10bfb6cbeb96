"""Top-down examples: one person a crop."""
