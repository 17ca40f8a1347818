"""APScheduler 3 behind the two questions that the benchmark asks of every peer: `create N` and `due N AT`.

It keeps its jobs in SQLite and runs them in threads, each a process. Reads lines from standard input, and answers each
with a line. Started by `scripts/bench`.
"""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler


def run(*words: str) -> None:
    subprocess.run(words, check=True)


def main() -> None:
    folder = Path(sys.argv[1])
    scheduler = BackgroundScheduler(
        jobstores={"default": SQLAlchemyJobStore(url=f"sqlite:///{folder / 'jobs.sqlite'}")},
        executors={"default": ThreadPoolExecutor(64)},
        job_defaults={"misfire_grace_time": 3600},
        timezone=UTC,
    )
    scheduler.start()
    far = datetime.now(UTC) + timedelta(days=300)
    for line in sys.stdin:
        match line.split():
            case ["create", count]:
                for number in range(int(count)):
                    scheduler.add_job(run, "interval", ["/bin/true"], days=1, start_date=far, name=f"job {number}")
            case ["due", count, at, *words]:
                when = datetime.fromtimestamp(float(at), UTC)
                for number in range(int(count)):
                    scheduler.add_job(run, "date", [*words, str(number)], run_date=when)
        print("done", flush=True)
    scheduler.shutdown(wait=False)


if __name__ == "__main__":
    main()
