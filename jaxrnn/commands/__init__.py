"""The commands of `python -m jaxrnn`: one file per command, each with `run(argv) -> exit code`."""
