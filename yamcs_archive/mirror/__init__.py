"""Archives in step: the changes of a served archive, and a copy that follows them."""
