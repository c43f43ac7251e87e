"""commands.runs."""

