"""The damage lab: flips single bits of a small archive, and looks what is found, told and served.

It flips every bit of every key and value of all sub-databases, and bits of LMDB's own pages. Of the commit
log it flips a bit of every byte, tears it at every place, and puts segments of other archives and of earlier
times in place of its own. Damage is right if reading raises DamagedError or ``verify`` finds it, and never if
something is read that was not stored.
"""
