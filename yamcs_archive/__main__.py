"""``python -m yamcs_archive`` is the command ``yamcs-archive``."""

import sys

from yamcs_archive.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
