"""The storage engine of one instance, on LMDB. LMDB and zstd are known only here.

Terms:

- *Commit log*: what was committed and is not in LMDB yet, a record for each commit. Its events are *young*:
  they are in a *memory table*, from which they are read.
- *Block*: up to some thousand events in key order, column by column, compressed. Blocks never overlap. A
  few late events are stored in a second part of their block, its *late part*.
- *Checkpoint*: a memory table becomes blocks, in one transaction. Every stored event is young or in a block,
  never both.
- *Zone map*: the range, sources, severities and commits of a block, by which a query passes over it without
  reading it (in the file: "summaries"). A *group* of neighbouring blocks has one, too.
- *Commit record*: where the events of a commit are, so that they can be read in order of arrival. A
  *cursor* is a place in that order.
- *Generation*: an LMDB environment; compaction replaces one by a dense copy.

The way of an event:

- In: ``lmdb_store`` hands checked columns to ``write/writer``, which commits all that wait as one group:
  ``committer`` has the events numbered (``preparation``, ``outcomes``) and those found that are stored
  already (``key_lookup``), and writes the others as one record of ``commit_log``. The caller is answered
  after the sync.
- To rest: ``maintain/scheduler`` has full tables put into blocks (``checkpoint``, ``placement``, by
  ``checkpointer``), closes groups of zone maps and packs small commit records.
- Out: ``read/range_reader`` reads one slice of keys after the other, the young events and the block of each
  in one short snapshot; ``read/query`` merges them and builds the wanted events. ``read/changes`` follows the
  commit records instead.

The folders are the layers. Each imports only those below it, and :mod:`failpoints` and :mod:`interrupts`:

    lmdb_store      the engine on LMDB
    event_store     the protocol of an engine
    salvage/        a damaged instance, read without LMDB, becomes a new one
    backup/         an instance as a stream of bytes, and back again
    maintain/       checkpoints, packing and compaction of stored events
    write/          the one writer
    read/           the many readers
    disk/           the files, and LMDB's rules
    young/          the memory tables
    format/         events <-> bytes; pure

To know most of it, read in this order: format/keys, format/block, format/commits, format/log_records,
young/memory_table, write/outcomes, write/preparation, write/commit_log, write/writer_state,
write/committer, write/checkpoint, write/checkpointer, write/writer, read/range_reader, read/query,
read/changes, disk/environment, lmdb_store. The bytes are specified in ``docs/format.md``.
"""
