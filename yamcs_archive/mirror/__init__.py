"""Mirrors: copies of served instances that follow their changes."""
