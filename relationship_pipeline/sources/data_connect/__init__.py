"""A Microsoft Graph Data Connect export folder as a source (graph.md 5; interfaces.md 2)."""
