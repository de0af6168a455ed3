"""`python -m worker`: a GPU worker or a clerk."""

from worker.main import main

main()
