"""Files and LMDB: the archive's directory, generations, the environment, and errors in our own words.

``directory`` and ``generations`` say which files there are and how one replaces another; ``environment``
keeps the rules of LMDB so that no other module has to (with ``lmdb_open`` and ``reader_gate``);
``file_system`` turns the system's errors into ours, and ``open_files`` notices when what is open is no
longer at its path. Nothing here knows what is stored. Start with ``environment``.
"""
