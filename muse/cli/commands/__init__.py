"""One module for each command, or for a few that belong together; grouped by what people do with them.

No command imports another one: what several need is in `options`, `input` or `output`.
"""
