"""Run the job from a command line: `python -m orchestration`."""

import sys

from orchestration.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
