"""The op log engine; `muse.core.op_log` is its public face."""
