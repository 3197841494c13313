"""The definitions: one file for each loss or close family, importing `symloss.language` and nothing else."""
