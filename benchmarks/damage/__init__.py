"""The damage lab: flips single bits of a small archive, and looks what is found, told and served.

It flips every bit of every key and value of all sub-databases, and bits of LMDB's own pages. Damage is right
if reading raises DamagedError or ``verify`` finds it, and never if something is read that was not stored.
"""
