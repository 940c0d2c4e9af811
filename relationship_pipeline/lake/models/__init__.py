"""SQL models of the lake, one a file."""
