"""One round over one connection: what this host lacks is read, what the stream lacks is sent, until there is trouble.

round      agrees with the server, reads, looks again
sender     its half that sends
committer  which replica commits; handing that over
threads    where a round does what could block
"""
