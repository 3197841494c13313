"""Stability: equal programs that round and overflow better, by a table of named rules with a trace.

What may live here: rules, the pass that applies them, and the expansion of atoms into shared elementary operations.
Nothing is special-cased by the name of a loss.
"""
