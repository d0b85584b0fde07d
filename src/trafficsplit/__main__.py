"""`python -m trafficsplit`: the command line."""

from trafficsplit.cli import main

if __name__ == "__main__":
    main()
