"""The storage engine: the only rooms with LMDB and zstd in them."""
