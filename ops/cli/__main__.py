"""`python -m ops.cli` is `parley`."""

from ops.cli import main

if __name__ == "__main__":
    main()
