"""A worker in Python, as an example for any language: all of the Connect protocol, from the contract alone.

A handler is `async def handler(grant) -> result`: what it returns is the run's result, what it raises is why the run
failed, and a cancel reaches it as asyncio.CancelledError. In reading order: Worker here, Stream, Grant.
"""

import asyncio

import grpc

import contract
from stream import Stream, StreamLost


class Worker:
    """One process, with one stream at a time. `observe(what, **facts)` is told what happens."""

    stream_type = Stream

    def __init__(self, server, name, handlers, slots=4, lanes=(contract.run.LANE_A,), observe=lambda what, **facts: None):
        self.server, self.name, self.handlers, self.slots, self.lanes = server, name, handlers, slots, lanes
        self.observe = observe
        self.worker_id = self.secret = None  # From Welcome; named in a resume.
        self.resumes = 0  # How often it has resumed, also in vain.
        self.grants = {}  # By (run id, fence), until the report is acknowledged.
        self.draining = False
        self.changed = asyncio.Event()  # There may be something to say.

    async def run(self):
        """Works until it was drained or shall leave, and all that it held is reported."""
        while True:
            try:
                async with grpc.aio.insecure_channel(self.server) as channel:
                    return await self.stream_type(self, contract.WorkerStub(channel).Connect()).serve()
            except (grpc.aio.AioRpcError, StreamLost) as lost:
                self.observe("disconnected", why=lost.details() if isinstance(lost, grpc.RpcError) else str(lost))
                self.keep_what_is_started()
            await self.before_reconnect()

    def leave(self):
        """Takes no more, ends what it holds, and says goodbye."""
        self.draining = True
        self.changed.set()

    @property
    def free_slots(self):
        return self.slots - sum(grant.report is None for grant in self.grants.values())

    def drop(self, grants):
        """Forgets grants that are no longer its own: what executes one is stopped, and nothing is reported."""
        for grant in list(grants):
            del self.grants[grant.key]
            if grant.task:
                grant.task.cancel()
        self.changed.set()

    def keep_what_is_started(self):
        """Started runs go on without a stream: they stay leased, and are taken along to the next."""
        self.drop([grant for grant in self.grants.values() if not grant.is_started])
        for grant in self.grants.values():
            grant.stream_lost()

    async def before_reconnect(self):
        # A real worker waits longer from time to time, and not as long as all the others.
        await asyncio.sleep(0.1)
