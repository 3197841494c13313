"""Speed, measured: our kernels beside every installed library, interleaved in one process.

Cases and contenders come in, medians and ratios go out. Nothing here judges: a timing is printed, never asserted.
"""
