"""A batch job: it has no port, so it tells the daemon how its breakers are.

CBMON_TOKEN=… python examples/quickstarts/batch_job.py
"""

import os

from cbmon import BreakerRegistry
from cbmon.report import BreakerReporter

breakers = BreakerRegistry(failure_threshold=3)


def copy(row: int) -> int:
    return row


def main(url: str = "http://127.0.0.1:9813") -> int:
    reporter = BreakerReporter(
        breakers, url=url, application="nightly", token=os.environ.get("CBMON_TOKEN")
    )
    with reporter:
        return sum(breakers.get("warehouse").call(copy, row) for row in range(100))


if __name__ == "__main__":
    print(main())
