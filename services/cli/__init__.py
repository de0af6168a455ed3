"""The `lynceus` command: one file a command, and the processes it starts."""
