"""Python functions behind the commands, which call them."""
