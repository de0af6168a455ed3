"""`python -m services.cli`: the same as `lynceus`."""

from services.cli import main

main()
