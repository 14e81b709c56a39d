"""An entry by itself: knows no file and no index.

model        its fields, how a fresh one is made, its op_id as text and as 16 bytes, its place in the total order
validation   what is refused: fields, values, arguments
columns      many entries at once, field by field
codec        the line it becomes, and back
marker       what stands in the operation's place once it was redacted
filter       which entries are wanted
row          an entry as a flat row, for tables
guard        what a caller has put in front of the write
"""
