"""Subcommands of the command line: parse, call, write. Heavy imports stay inside the commands."""
