"""One file a command of `lynceus`."""
