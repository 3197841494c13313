"""Verification: an oracle that shares nothing with the compiler, points to try, and the ladder of checks.

It reads definitions and calls losses; it never looks at calculus, stability, lowering or rendering, and a test holds it
to that.
"""
