"""The immutable blocks of the index, as bytes: no SQL and no file is known here.

segment      some thousand lines: summary and columns
op_id_keys   the hash of an op_id, and the segment in which it stands
op_id_runs   in which segment an op_id stands, for many segments
links        which entry names which as its parent
"""
