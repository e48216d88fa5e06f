"""The Yamcs events API: a sans-I/O core, and thin adapters that put it behind a server."""
