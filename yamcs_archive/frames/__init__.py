"""Events as Arrow: tables for pandas, polars, duckdb and Parquet, and back again. Needs the extra ``arrow``.

Begin with ``columns``, which says what the columns are. ``batches`` makes record batches of stored events,
``events`` reads events from record batches, ``table`` is what users hold. Only ``library`` loads pyarrow,
when something of it is first needed; the room knows neither the storage engine nor HTTP.
"""

import yamcs_archive.signal_safe_numpy  # noqa: F401
