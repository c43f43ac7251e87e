"""Parts that the commands share: options, run folders, the training loop, progress, signals."""
