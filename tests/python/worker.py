"""A worker in Python, as an example for any language: the whole Connect protocol, from the contract alone.

A handler is `async def handler(grant) -> result`: it returns the run's result, it raises the error with which the run
fails, and a cancel reaches it as asyncio.CancelledError. In reading order: Worker here, Stream, Grant.
"""

import asyncio

import grpc

import contract
from stream import Stream, StreamLost


class Worker:
    """One process, with one stream at a time. It calls `observe(what, **facts)` for each event."""

    stream_type = Stream

    def __init__(self, server, name, handlers, slots=4, lanes=(contract.run.LANE_A,), observe=lambda what, **facts: None):
        self.server, self.name, self.handlers, self.slots, self.lanes = server, name, handlers, slots, lanes
        self.observe = observe
        self.worker_id = self.secret = None  # From Welcome; named in a resume.
        self.resumes = 0  # The number of resumes, failed ones included.
        self.grants = {}  # By (run id, fence), until the report is acknowledged.
        self.draining = False
        self.leaving = False  # It drains by its own decision, not by that of an operator.
        self.changed = asyncio.Event()  # There may be something to send.

    async def run(self):
        """Works until it is drained or asked to leave, and all its runs are reported."""
        while True:
            try:
                async with grpc.aio.insecure_channel(self.server) as channel:
                    return await self.stream_type(self, contract.WorkerStub(channel).Connect()).serve()
            except (grpc.aio.AioRpcError, StreamLost) as lost:
                self.observe("disconnected", why=lost.details() if isinstance(lost, grpc.RpcError) else str(lost))
                self.keep_what_is_started()
            await self.before_reconnect()

    def leave(self):
        """Takes no more runs, ends its runs, and says goodbye."""
        self.draining = self.leaving = True
        self.changed.set()

    @property
    def free_slots(self):
        return self.slots - sum(grant.report is None for grant in self.grants.values())

    def drop(self, grants):
        """Forgets lost grants: stops their handlers, and reports nothing."""
        for grant in list(grants):
            del self.grants[grant.key]
            if grant.task:
                grant.task.cancel()
        self.changed.set()

    def keep_what_is_started(self):
        """Started runs continue without a stream: they stay leased, and the next resume names them."""
        self.drop([grant for grant in self.grants.values() if not grant.is_started])
        for grant in self.grants.values():
            grant.stream_lost()

    async def before_reconnect(self):
        # A real worker waits with a growing, randomized delay.
        await asyncio.sleep(0.1)
