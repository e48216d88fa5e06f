"""The command line. Each command has a file of its own: it parses, calls the library and prints."""
