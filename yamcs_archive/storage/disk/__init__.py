"""Files and LMDB: the archive's directory, generations, the environment, and errors in our own words.

``directory``, ``writer_lock`` and ``generations`` say which files there are, who may write, and how one
generation replaces another. ``environment`` keeps the rules of LMDB so that no other module has to (with
``lmdb_open`` and ``reader_gate``); ``environments`` opens one for each instance of a process.
``file_system`` turns the system's errors into ours, and ``open_files`` notices when what is open is no
longer at its path. Nothing here knows what is stored. Start with ``environment``.
"""
