"""What `python -m jaxrnn` does: one command, one file, each with `run(argv) -> exit code`."""
