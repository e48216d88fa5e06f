"""The filter language of the Yamcs events API: text to predicate. Knows events, no storage."""
