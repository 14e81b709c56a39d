"""The immutable blocks of the index, as bytes: no SQL and no file is known here.

segment      some thousand lines: summary and columns
op_id_runs   in which segment an op_id stands
links        which entry names which as its parent
"""
