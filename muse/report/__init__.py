"""Reports: a session as one HTML page or one SVG picture, to hand to others.

`gather` reads the log, `data` selects what goes into the page, and `page` and `svg` write the output. Memory and output
stay below fixed limits (`limits`) for a session of any size. If something is left out, the report says so.
"""
