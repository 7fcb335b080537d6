"""The command as `python -m fromage_edu.cli`."""

from fromage_edu.cli import main

if __name__ == "__main__":
    main()
