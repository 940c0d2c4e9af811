"""Relationship intelligence for Microsoft 365, self-hosted."""
