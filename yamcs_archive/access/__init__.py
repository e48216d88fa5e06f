"""Who may do what: users, their permissions, passwords and tokens, in one file; knows no HTTP."""
