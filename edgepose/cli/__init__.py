"""The command line: it parses and prints, every command is a function callable from Python."""
