"""Search where to cut a network and which heads to use; evaluate what was found. `python run.py --help` says more."""

import sys

from nas.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
