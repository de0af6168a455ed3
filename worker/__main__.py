"""`python -m worker`: a GPU worker or a result writer."""

from worker.main import main

main()
