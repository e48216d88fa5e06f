"""Importers: store the events of another server, or of a file, in an instance.

``yamcs`` reads the history of a server, ``follow`` goes on with what it publishes, ``file`` reads a file.
"""
