"""Lowering: stable programs in, loop nests with named scalars out, and what they cost.

What may live here: schedules, storage, scalar naming, cost. It knows loops and arrays, and no target language.
"""
