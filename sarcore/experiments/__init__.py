"""Studies, each one function from a config and a run folder to a table of results."""
