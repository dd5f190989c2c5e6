"""`python -m allconv` is the command line `allconv`."""

from allconv.cli.program import run

if __name__ == "__main__":
    run()
