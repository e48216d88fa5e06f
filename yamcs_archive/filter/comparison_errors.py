"""Errors of one comparison, raised before its position in the filter is known.

The rooms that judge fields, values and patterns raise these; :mod:`yamcs_archive.filter.grammar`, which
knows the tokens, turns each into a :class:`~yamcs_archive.errors.FilterError`. They never leave this package.
"""

from __future__ import annotations


class UnknownFieldError(Exception):
    """No field has this name; the text says which ones there are."""


class BadValueError(Exception):
    """The value is not of the field's type; the text says what would be."""


class BadPatternError(Exception):
    """Not a regular expression that is supported here; the text names the construct."""
