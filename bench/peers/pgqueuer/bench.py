"""pgqueuer, with the driver and the loop of its own benchmark, and batches as its guide to tuning says.

https://github.com/janbjorge/pgqueuer/blob/main/tools/benchmark.py
https://pgqueuer.readthedocs.io/en/latest/guides/performance-tuning/
"""

import asyncio
import json
import os
import sys
import time
from importlib.metadata import version

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

ENTRYPOINT = "noop"
BATCH = 1000
IN_FLIGHT = 2  # two batches at once: one is written while the next is made ready
DEQUEUE_BATCH = 500


def answer(words):
    print(f"@{words}", flush=True)


async def commands():
    """The lines of standard input."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line.decode().split()


def payload(n, due_ns=None):
    content = {"n": n, "to": "someone@example.com"}
    return json.dumps(content if due_ns is None else content | {"due_ns": due_ns}).encode()


class Producer:
    def __init__(self, connections):
        self.queries = [Queries(AsyncpgDriver(connection)) for connection in connections]
        self.connection = connections[0]

    async def enqueue(self, first, count):
        starts = iter(range(first, first + count, BATCH))

        async def lane(queries):
            for start in starts:
                payloads = [payload(n) for n in range(start, min(start + BATCH, first + count))]
                await queries.enqueue([ENTRYPOINT] * len(payloads), payloads, [0] * len(payloads))

        begun = time.monotonic()
        await asyncio.gather(*(lane(queries) for queries in self.queries[:IN_FLIGHT]))
        return time.monotonic() - begun

    async def pace(self, first, count, rate):
        """An open model: the due times are fixed before the first job, and a slow insert does not hold up the next."""
        begin = time.monotonic_ns() + 100_000_000
        sent = []
        for i in range(count):
            due_ns = begin + i * 1_000_000_000 // rate
            # A timer here is up to a millisecond late: it wakes early, and the rest is spent looking at the clock.
            while (left_ns := due_ns - time.monotonic_ns()) > 0:
                await asyncio.sleep(max(0, left_ns / 1e9 - 0.002))
            queries = self.queries[i % len(self.queries)]
            sent.append(asyncio.create_task(queries.enqueue(ENTRYPOINT, payload(first + i, due_ns), 0)))
        await asyncio.gather(*sent)

    async def finished(self):
        """Waits until the queue is empty; when that was, and how many jobs its log says were successful."""
        while await self.connection.fetchval("SELECT EXISTS (SELECT FROM pgqueuer)"):
            await asyncio.sleep(0.002)
        at_ns = time.monotonic_ns()
        rows = await self.connection.fetchval("SELECT count(DISTINCT job_id) FROM pgqueuer_log WHERE status = 'successful'")
        return f"{at_ns} {rows}"


async def produce(url):
    producer = Producer([await asyncpg.connect(url) for _ in range(10)])
    answer(json.dumps({
        "version": version("pgqueuer"),
        "settings": f"batch_size {DEQUEUE_BATCH}, asyncpg, uvloop, enqueue of {BATCH}",
        "keeps_outcome_rows": True,
    }))
    async for command, *numbers in commands():
        numbers = [int(number) for number in numbers]
        if command == "schema":
            await producer.queries[0].install()
            await producer.queries[0].optimize_autovacuum()  # the first point of the guide's checklist
            answer("ok")
        elif command == "settle":
            answer(await producer.connection.execute("VACUUM (ANALYZE)"))
        elif command == "enqueue":
            answer(await producer.enqueue(*numbers))
        elif command == "pace":
            answer(await producer.pace(*numbers))
        elif command == "finished":
            answer(await producer.finished())
        else:
            raise SystemExit(f"unknown command {command}")


async def work(url):
    executed, latencies_ms = [], []
    running = None
    # The guide: a single connection for what dequeues.
    manager = PgQueuer(AsyncpgDriver(await asyncpg.connect(url)))

    @manager.entrypoint(ENTRYPOINT)
    async def noop(job: Job) -> None:
        started_ns = time.monotonic_ns()
        content = json.loads(job.payload)
        if "due_ns" in content:
            latencies_ms.append((started_ns - content["due_ns"]) / 1e6)
        executed.append(content["n"])

    async def tell():
        told = 0
        while True:
            if len(executed) != told:
                told = len(executed)
                answer(f"executed {told}")
            await asyncio.sleep(0.005)

    telling = asyncio.create_task(tell())
    answer("ready")
    async for (command,) in commands():
        if command == "start":
            running = asyncio.create_task(manager.run(batch_size=DEQUEUE_BATCH))
        elif command == "report":
            answer(json.dumps({"executed": executed, "latencies_ms": latencies_ms}))
        else:
            raise SystemExit(f"unknown command {command}")
    telling.cancel()
    manager.shutdown.set()
    if running is not None:
        await running


if __name__ == "__main__":
    uvloop.run({"produce": produce, "work": work}[sys.argv[1]](os.environ["DATABASE_URL"]))
