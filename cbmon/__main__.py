"""``python -m cbmon`` is the command line."""

from cbmon.cli import main

if __name__ == "__main__":
    main()
