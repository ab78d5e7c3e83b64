"""``python -m gradcheck_suite``."""

from gradcheck_suite.cli import main

main()
