"""A server under everything at once for a while, watched for what grows: ``python -m benchmarks.soak``.

``load`` has the clients: posts, batches, readers, subscribers, pruning, backups. ``samples`` reads what the
server uses, second by second. ``trends`` decides what counts as growth. ``__main__`` brings them together.
"""
