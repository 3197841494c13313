"""Calculus: programs in, programs with derivatives out.

Adjoint sweep (gradients), tangent sweep (Hessian-vector products), sensitivities (exact Hessian diagonals).
Nothing here knows about floating point.
"""
