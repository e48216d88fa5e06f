"""Who sends a request, found out from its head: passwords, tokens, sessions, and what a proxy says."""
