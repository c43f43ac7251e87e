"""What the commands share: options, the folder of a run, the loop of training, progress, signals."""
