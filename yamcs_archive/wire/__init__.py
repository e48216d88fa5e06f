"""Bytes of the outside <-> events, in JSON and protobuf, in the 2016 form and in today's; no I/O."""
