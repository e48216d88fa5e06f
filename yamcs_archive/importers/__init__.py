"""Importers: store the events of another server, or of a file, in an instance."""
