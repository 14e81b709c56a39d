"""A repository's sessions for agents, over the Model Context Protocol.

tools     what an agent may ask and do: plain functions, bounded answers
server    the tools as a server of the official SDK, over standard input and output

`muse op-log mcp` starts it; docs/how-to/mcp.md says how a client is configured, and what it may and may not do.
"""
