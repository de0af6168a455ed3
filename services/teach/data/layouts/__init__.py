"""One module a layout: whether a folder has it, and the labelled pictures it holds."""
