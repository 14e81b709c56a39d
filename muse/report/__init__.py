"""A session as one page, or as one picture: what it holds, made to be handed to somebody else.

`gather` reads the log, `data` says what of it goes into the page, `page` and `svg` draw. Whatever the size of the
session, memory and what is written stay below fixed limits (`limits`), and what is left out is said.
"""
