"""Causal history: an operation names its parents, and everything here follows from those links.

graph           the links in the index as a graph: neighbours, walks, heads, roots
order           parents before children, ties in total order
contested       values that operations touched which did not know of each other
contradictions  parents that are missing, timestamps that can't be
causal          what `OpLog.history` hands out
"""
