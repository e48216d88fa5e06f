"""The storage engine of one instance, on LMDB. LMDB and zstd are known only here.

Terms:

- *Row*: one event under its key, as it arrives. Young and late events are rows.
- *Block*: up to some thousand events in key order, column by column, compressed. Blocks never overlap. A
  few late events are stored in a second part of their block, its *late part*.
- *Sealing*: rows become blocks, in one transaction. Every stored event is a row or in a block, never both.
- *Zone map*: the range, sources, severities and commits of a block, by which a query passes over it without
  reading it (in the file: "summaries"). A *group* of neighbouring blocks has one, too.
- *Commit record*: where the events of a commit are, so that they can be read in order of arrival. A
  *cursor* is a place in that order.
- *Generation*: an LMDB environment; compaction replaces one by a dense copy.

The way of an event:

- In: ``lmdb_store`` hands checked columns to ``write/writer``, which commits all that wait as one group:
  ``committer`` numbers the events (``outcomes``), finds those that are stored already (``key_lookup``) and
  puts the others where they belong (``placement``), with the commit's record, in one transaction. The caller
  is answered after the fsync.
- To rest: ``maintain/scheduler`` seals old rows, closes groups of zone maps and packs small commit records.
- Out: ``read/range_reader`` reads one slice of keys after the other, the rows and the block of each in one
  short transaction; ``read/query`` merges them and builds the wanted events. ``read/changes`` follows the
  commit records instead.

The folders are the layers. Each imports only those below it, and :mod:`failpoints` and :mod:`interrupts`:

    lmdb_store      the engine on LMDB
    event_store     the protocol of an engine
    salvage/        a damaged instance, read without LMDB, becomes a new one
    backup/         an instance as a stream of bytes, and back again
    maintain/       sealing, packing and compaction of stored events
    write/          the one writer
    read/           the many readers
    disk/           the files, and LMDB's rules
    format/         events <-> bytes; pure

To know most of it, read in this order: format/keys, format/rows, format/block, format/commits,
write/outcomes, write/placement, write/committer, write/writer, read/range_reader, read/query, read/changes,
maintain/sealing, disk/environment, lmdb_store. The bytes are specified in ``docs/format.md``.
"""
