"""The worker under the control of a test: it reads commands from standard input, one a line, and prints events as JSON.

controlled.py ADDRESS SLOTS
"""

import asyncio
import collections
import json
import sys

import contract
from grant import failed
from stream import Stream
from worker import Worker


NEW_FIELD = "from_the_future"
news_sent = set()  # The messages in which the field was sent.


def print_event(what, **facts):
    print(json.dumps({"what": what, **facts}), flush=True)


def fill_new_fields(message):
    """Fills, at every depth, the fields that only the newer contract of the tests has."""
    if NEW_FIELD in message.DESCRIPTOR.fields_by_name:
        setattr(message, NEW_FIELD, "nobody knows this yet")
        news_sent.add(message.DESCRIPTOR.name)
    for field, value in message.ListFields():
        if field.message_type and not field.message_type.GetOptions().map_entry:
            for one in value if field.is_repeated else [value]:
                fill_new_fields(one)


class ControlledStream(Stream):
    """Waits at gates where a normal worker continues."""

    def __init__(self, worker, call):
        super().__init__(worker, call)
        worker.stream = self

    async def accept(self, leases):
        # Not awaited: the worker continues to listen while it delays its accepts.
        self.worker.background(self.accept_when_allowed(leases))

    async def accept_when_allowed(self, leases):
        await self.worker.accepting.wait()
        await super().accept(leases)

    async def heartbeat(self, grants):
        await self.worker.beating.wait()
        await super().heartbeat(grants)

    async def send_report(self, grant):
        if grant.report:
            self.worker.reports[grant.run.id] = grant.report
        await super().send_report(grant)

    async def write(self, **frame):
        for message in frame.values():
            fill_new_fields(message)
        await super().write(**frame)


class ControlledWorker(Worker):
    stream_type = ControlledStream

    def __init__(self, server, slots):
        handlers = {"echo": self.echo, "fail": self.fail, "hold": self.hold}
        super().__init__(server, "controlled", handlers, slots=slots, observe=print_event)
        self.accepting, self.beating, self.online = asyncio.Event(), asyncio.Event(), asyncio.Event()
        for gate in (self.accepting, self.beating, self.online):
            gate.set()
        self.released = collections.defaultdict(asyncio.Event)
        self.executing = 0
        self.reports = {}
        self.stream = None
        self.tasks = set()

    def background(self, work):
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def before_reconnect(self):
        await self.online.wait()

    # Handlers.

    async def echo(self, grant):
        self.executing += 1
        assert self.executing <= self.slots, "more runs are executed than there are slots"
        for number in range(1, grant.params.get("lines", 1) + 1):
            grant.log(f"line {number}", data={"number": number})
            await asyncio.sleep(0)
        self.executing -= 1
        return grant.params

    async def fail(self, grant):
        grant.log("about to fail", level=contract.run_event.EVENT_LEVEL_ERROR)
        raise ValueError("as it was asked to")

    async def hold(self, grant):
        """Runs until it is released or cancelled."""
        grant.set_progress(0.5, "holding")
        try:
            await self.released[grant.run.id].wait()
        except asyncio.CancelledError:
            print_event("stopped", run_id=grant.run.id)
            raise
        print_event("ended", run_id=grant.run.id)
        return "released"

    # Commands.

    async def obey(self, command, run_id=None):
        match command:
            case "hold-accepts":
                self.accepting.clear()
            case "accept":
                self.accepting.set()
            case "mute":
                self.beating.clear()
            case "unmute":
                self.beating.set()
            case "cut":
                self.online.clear()
                self.stream.call.cancel()
            case "connect":
                self.online.set()
            case "release":
                self.released[run_id].set()
            case "say-again":
                await self.stream.write(reports=contract.connect.Reports(reports=[self.reports[run_id]]))
            case "contradict":
                other = contract.worker.RunReport()
                other.CopyFrom(self.reports[run_id])
                other.outcome.CopyFrom(failed("Changed", "its mind"))
                await self.stream.write(reports=contract.connect.Reports(reports=[other]))
            case "leave":
                self.leave()
            case _:
                raise ValueError(f"unknown command: {command}")
        print_event("obeyed", command=command)

    async def listen_to(self, lines):
        while line := await lines.readline():
            await self.obey(*line.decode().split())


async def main(server, slots):
    worker = ControlledWorker(server, int(slots))
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    worker.background(worker.listen_to(lines))
    await worker.run()
    print_event("left", news=sorted(news_sent))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
