"""Ways in for histories that are kept elsewhere: from another server to events that are stored here."""
