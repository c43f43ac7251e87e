"""Whole models: a cell, what stands before it and what stands after it."""
