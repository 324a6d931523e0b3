"""Flows and runs as Python sees them: joins engine and store. The notebook and the shell stand on this."""
