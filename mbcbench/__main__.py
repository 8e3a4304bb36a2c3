"""Run the command line as `python -m mbcbench`."""

from mbcbench.cli.main import main

if __name__ == "__main__":
    main()
