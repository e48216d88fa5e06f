"""Files of events: one module for each form, with its reader and its writer; read ``reading`` first.

``compression`` is for all forms alike. Forms that other programs write are in ``importers``.
"""

import yamcs_archive.signal_safe_numpy  # noqa: F401
