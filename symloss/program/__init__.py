"""The program: statements over SymPy scalars, how they are built from a definition, and a direct interpreter.

What may live here: the representation and operations on it that need neither derivatives nor numerics nor targets.
"""
