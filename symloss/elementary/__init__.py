"""Elementary functions for kernels: branch-free source text that LLVM vectorises, with coefficients fitted here.

A format comes in, the text of functions goes out. What may live here: the fit, the reductions of arguments, the
formats. Nothing here knows of losses; what the functions are worth is measured against ball arithmetic by the tests.
"""
