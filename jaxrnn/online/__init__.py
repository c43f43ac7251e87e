"""Gradients that are computed forwards, step by step, without a way back."""
