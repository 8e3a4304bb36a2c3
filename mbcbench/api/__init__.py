"""Python functions for what the commands do. The commands call them too."""
