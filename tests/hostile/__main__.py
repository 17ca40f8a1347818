"""`python -m tests.hostile`: the corpus against a daemon, and what came of it as a table. Exits with 1 when something
was not right."""

import sys
import tempfile
from pathlib import Path

from .run import Hostile


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="kala-hostile-") as folder:
        hostile = Hostile(Path(folder), lambda text: print(text, file=sys.stderr, flush=True))
        hostile.run()
    print("\n".join(hostile.table()))
    for fault in hostile.wrong:
        print("NOT RIGHT:", fault)
    return 1 if hostile.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
