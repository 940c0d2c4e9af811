"""SQL models of the sources, one a file."""
