"""Rendering: loop nests into Numba source, programs into LaTeX, everything derived into a record.

What may live here: one formatter per target and its templates. Templates hold layout, not logic.
"""
