"""`python -m calumma` is the command `calumma`."""

from calumma.cli.main import run

if __name__ == "__main__":
    run()
