"""`python -m tutelage`."""

from tutelage.cli.entry import main

if __name__ == "__main__":
    main()
