#!/usr/bin/env python3
"""Measures one peer: has its producer enqueue, its workers execute, checks both, and prints one line of JSON.

The peer's program is started once as `produce` and once or more as `work`. It hears commands on its standard input, one a line, and
answers on its standard output with lines that begin with "@"; whatever else it prints goes to standard error. All times are
CLOCK_MONOTONIC, which the processes of one machine share. README.md has the commands and what each figure means.
"""

import argparse
import json
import math
import os
import queue
import subprocess
import sys
import threading
import time

JOBS = int(os.environ.get("JOBS", "100000"))
RATE = int(os.environ.get("RATE", "100"))
PACED_S = 10
LIMIT_S = int(os.environ.get("LIMIT_S", "300"))  # a peer that hangs fails after this, instead of never


class Role:
    """A process of the peer's program, and what it has said."""

    progress = threading.Condition()

    def __init__(self, command, role):
        self.name = role
        self.executed = 0
        self.answers = queue.Queue()
        try:
            self.process = subprocess.Popen([*command, role], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        except FileNotFoundError as missing:
            sys.exit(f"{missing.filename} is not there: bench/peers/install.sh installs it")
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            if line.startswith("@executed "):
                with Role.progress:
                    self.executed = int(line.split()[1])
                    Role.progress.notify_all()
            elif line.startswith("@"):
                self.answers.put(line[1:].strip())
            else:
                sys.stderr.write(line)
        self.answers.put(None)
        with Role.progress:
            self.executed = -1
            Role.progress.notify_all()

    def say(self, command):
        try:
            self.process.stdin.write(command + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            sys.exit(f"{self.name} ended before the command {command}, exit code {self.process.wait()}")

    def hear(self):
        answer = self.answers.get()
        if answer is None:
            sys.exit(f"{self.name} ended before it answered, exit code {self.process.wait()}")
        return answer

    def ask(self, command):
        self.say(command)
        return self.hear()

    def resident_mb(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) / 1024

    def end(self):
        self.process.stdin.close()
        if self.process.wait(timeout=30) != 0:
            sys.exit(f"{self.name} ended with exit code {self.process.returncode}")


def wait_until_executed(workers, count):
    """Returns once the workers say that they have executed so many jobs between them."""
    with Role.progress:
        Role.progress.wait_for(lambda: sum(w.executed for w in workers) >= count or any(w.executed < 0 for w in workers))
    if any(w.executed < 0 for w in workers):
        sys.exit("a worker ended early")


def finished(producer, expected_rows):
    """When the database had no unfinished job left, in nanoseconds; fails if it keeps other rows than it should."""
    at_ns, rows = map(int, producer.ask("finished").split())
    if rows != expected_rows:
        sys.exit(f"the database has {rows} finished rows, expected {expected_rows}")
    return at_ns


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--workers", type=int, default=1, help="processes that execute jobs")
    arguments.add_argument("peer")
    arguments.add_argument("program", nargs="+")
    given = arguments.parse_args()
    paced = RATE * PACED_S

    roles = []

    def give_up():
        print(f"not done after {LIMIT_S} s", file=sys.stderr)
        for role in roles:
            role.process.kill()

    limit = threading.Timer(LIMIT_S, give_up)
    limit.daemon = True
    limit.start()
    try:
        producer = Role(given.program, "produce")
        roles.append(producer)
        about = json.loads(producer.hear())
        kept = about["keeps_outcome_rows"]
        producer.ask("schema")
        enqueue_s = float(producer.ask(f"enqueue 0 {JOBS}"))
        producer.ask("settle")

        workers = [Role(given.program, "work") for _ in range(given.workers)]
        roles.extend(workers)
        for worker in workers:
            worker.hear()
        started_ns = time.monotonic_ns()
        for worker in workers:
            worker.say("start")
        wait_until_executed(workers, JOBS)
        drain_s = (finished(producer, JOBS if kept else 0) - started_ns) / 1e9
        resident_mb = sum(worker.resident_mb() for worker in workers)

        producer.ask("settle")
        time.sleep(2)  # what the drain left to do (a checkpoint, a poll) is not part of the next figure
        producer.ask(f"pace {JOBS} {paced} {RATE}")
        wait_until_executed(workers, JOBS + paced)
        finished(producer, JOBS + paced if kept else 0)

        reports = [json.loads(worker.ask("report")) for worker in workers]
        for role in roles:
            role.end()
    finally:
        for role in roles:
            role.process.kill()

    executed = sorted(n for report in reports for n in report["executed"])
    if executed != list(range(JOBS + paced)):
        sys.exit(f"{len(executed)} executions of {len(set(executed))} jobs, expected {JOBS + paced} of as many")
    latencies = [ms for report in reports for ms in report["latencies_ms"]]
    if len(latencies) != paced:
        sys.exit(f"{len(latencies)} latencies, expected {paced}")
    print(json.dumps({
        "peer": given.peer,
        "version": about["version"],
        "settings": f"{given.workers} worker process{'es' if given.workers > 1 else ''}, {about['settings']}",
        "enqueue_per_s": round(JOBS / enqueue_s),
        "drain_per_s": round(JOBS / drain_s),
        "start_p50_ms": round(percentile(latencies, 0.50), 2),
        "start_p99_ms": round(percentile(latencies, 0.99), 2),
        "resident_mb": round(resident_mb),
        "keeps_outcome_rows": kept,
    }))


if __name__ == "__main__":
    main()
