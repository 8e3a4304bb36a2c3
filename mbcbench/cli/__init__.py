"""Command line: `main` assembles the commands, one file holds one command."""
