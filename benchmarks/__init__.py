"""How fast the engine is, side by side with floors and with what one would use instead.

`nox -s bench` runs every figure of `figures.py` and holds it against its goal; `nox -s scale` repeats
the main ones on a very large session and repository. A figure is the median of the ratios of
interleaved rounds (compare.py); what it is compared with lives in `others/`.
"""
