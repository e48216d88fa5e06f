"""A small file system that is really full."""
