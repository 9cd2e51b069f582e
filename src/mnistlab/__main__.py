"""The command's door: Ctrl-C ends it with status 130 and no traceback while it still imports, and while it ends."""

import os
import signal
import sys
from types import FrameType


def main() -> None:
    """Run one command; see `mnistlab.cli.app.main`."""
    try:
        from mnistlab.cli import app

        app.main()
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        signal.signal(signal.SIGINT, _leave)


def _leave(_number: int, _frame: FrameType | None) -> None:
    os._exit(130)


if __name__ == "__main__":
    main()
