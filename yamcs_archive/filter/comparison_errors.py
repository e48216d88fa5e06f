"""Errors of one comparison, raised before its position in the filter is known.

The modules that check fields, values and patterns raise them. :mod:`yamcs_archive.filter.grammar`, which
knows the positions, turns each into a :class:`~yamcs_archive.errors.FilterError`. They never leave this
package.
"""

from __future__ import annotations


class UnknownFieldError(Exception):
    """No field has this name; the text lists the fields."""


class BadValueError(Exception):
    """The value is not of the field's type; the text names the type."""


class BadPatternError(Exception):
    """The regular expression is not supported; the text names the construct."""
