"""Results of papers on long-term dependencies, made again: each a table, the paper's numbers beside these."""
