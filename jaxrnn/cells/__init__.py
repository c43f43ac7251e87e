"""Level 1: one step.  One cell a file."""
