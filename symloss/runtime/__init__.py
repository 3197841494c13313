"""The runtime: what happens when a loss is called. NumPy and the standard library only; SymPy is never imported.

What may live here: validation, promotion and broadcasting, reductions, threads, the loader. Numba comes in with the
generated module of the first loss that is loaded.
"""
