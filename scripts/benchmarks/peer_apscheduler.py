"""APScheduler 3 behind the questions that the benchmark asks of every contender.

It keeps its jobs in SQLite and runs them in threads, each a process. Reads lines from standard input, and answers each
with a line. Started by `scripts/bench`.
"""

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler

MARK = "@@@@@@@@"


def run(*words: str) -> None:
    subprocess.run(words, check=True)


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def main() -> None:
    folder = Path(sys.argv[1])
    store = SQLAlchemyJobStore(url=f"sqlite:///{folder / 'jobs.sqlite'}")
    scheduler = BackgroundScheduler(
        jobstores={"default": store},
        executors={"default": ThreadPoolExecutor(64)},
        job_defaults={"misfire_grace_time": 3600},
        timezone=UTC,
    )
    scheduler.start()
    for line in sys.stdin:
        match line.split():
            case ["count"]:
                print(len(store.get_all_jobs()), flush=True)
            case ["far", count]:
                far, began, ends = datetime.now(UTC) + timedelta(days=300), time.monotonic(), []
                for number in range(int(count)):
                    scheduler.add_job(run, "interval", ["/bin/true"], days=1, start_date=far, name=f"job {number}")
                    ends.append(time.monotonic() - began)
                print(*ends, flush=True)
            case ["due", count, first, gap, *words]:
                for number in range(int(count)):
                    when = moment(float(first) + number * float(gap))
                    command = [word.replace(MARK, f"{number:08d}") for word in words]
                    scheduler.add_job(run, "date", command, run_date=when)
                print("done", flush=True)
            case ["each", count, first, *words]:
                for number in range(int(count)):
                    command = [word.replace(MARK, f"{number:08d}") for word in words]
                    scheduler.add_job(run, "interval", command, seconds=1, start_date=moment(float(first)))
                print("done", flush=True)
            case _:
                raise SystemExit(f"not understood: {line}")


if __name__ == "__main__":
    main()
