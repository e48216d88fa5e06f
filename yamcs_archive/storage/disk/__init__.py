"""Files and LMDB: the archive's directory, generations, the environment, and the translation of errors.

``directory`` defines the files, ``writer_lock`` gives one process the right to write, and ``generations``
replaces one generation by another. ``environment`` follows the rules of LMDB so that no other module has to
(with ``lmdb_open``, ``lock_file`` and ``reader_gate``); ``environments`` opens one for each instance of a
process. ``lmdb_pages`` reads the pages of LMDB's file without LMDB, and ``durable_head`` makes its newest
commit last. ``file_system`` turns the system's errors into this package's, and ``file_identity`` notices when
an open file is no longer at its path. Nothing here knows the content of an environment.
Start with ``environment``.
"""
