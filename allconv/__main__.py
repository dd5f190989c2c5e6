"""`python -m allconv` is the command line `allconv`."""

from allconv.cli import main

if __name__ == "__main__":
    main()
