"""`python -m fplbench`."""

from fplbench.cli.app import main

main()
