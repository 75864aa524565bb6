"""One Connect stream: the frames that the worker sends, and its reaction to the frames of the server."""

import asyncio
import time

import grpc

import contract
from grant import Grant

PROTOCOL_VERSION = 1


class StreamLost(Exception):
    """The server ended the stream without an error."""


class Stream:
    def __init__(self, worker, call):
        self.worker, self.call = worker, call
        self.credit = 0  # The last credit that was sent: it never falls.
        self.given = 0  # How much of it the server has used.
        self.event_credits = 0
        self.unanswered = []  # Send times of unanswered heartbeats, the oldest first.
        self.proven_alive = time.monotonic()  # Send time of the last answered heartbeat.
        self.writing = asyncio.Lock()

    async def serve(self):
        """Returns after goodbye. Raises if the stream is lost."""
        welcome = await self.hello()
        tasks = [asyncio.ensure_future(part) for part in (self.listen(), self.speak(), self.keep_leases(welcome))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except asyncio.CancelledError as lost:  # grpc raises this if the call was cancelled on this side.
            raise StreamLost("cut") from lost
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def write(self, **frame):
        async with self.writing:
            await self.call.write(contract.connect.ConnectRequest(**frame))

    async def read(self):
        answer = await self.call.read()
        if answer is grpc.aio.EOF and await self.call.code() != grpc.StatusCode.OK:
            raise StreamLost(await self.call.details())
        return None if answer is grpc.aio.EOF else answer

    async def hello(self):
        worker, resume = self.worker, None
        if worker.worker_id:
            held = [grant.lease for grant in worker.grants.values()]
            resume = contract.connect.Resume(worker_id=worker.worker_id, secret=worker.secret, held=held)
            worker.resumes += 1
            if "sequence" in resume.DESCRIPTOR.fields_by_name:  # The contract of 0.1 does not have it.
                resume.sequence = worker.resumes
        hello = contract.connect.Hello(
            protocol_version=PROTOCOL_VERSION,
            name=worker.name,
            lanes=worker.lanes,
            kinds=list(worker.handlers),
            version="python",
            resume=resume,
        )
        await self.write(hello=hello)
        answer = await self.read()
        if answer is None:
            raise StreamLost("the server sent nothing")
        welcome = answer.welcome
        worker.worker_id, worker.secret = welcome.worker_id, welcome.secret
        self.event_credits = welcome.event_credits
        standing = {(lease.run_id, lease.fence) for lease in welcome.standing}
        worker.drop([grant for grant in worker.grants.values() if grant.key not in standing])
        worker.observe("welcome", worker_id=welcome.worker_id, epoch=welcome.stream_epoch, standing=len(standing))
        return welcome

    # Frames of the worker.

    async def speak(self):
        """Sends everything that is ready, whenever something has changed."""
        worker = self.worker
        while True:
            worker.changed.clear()
            await self.send_credit()
            for grant in list(worker.grants.values()):
                await self.send_events(grant)
                await self.send_report(grant)
            if worker.draining and not worker.grants:
                await self.write(goodbye=contract.connect.Goodbye(reason="nothing more to do"))
                await self.call.done_writing()
                return
            if worker.leaving and self.given < self.credit:
                # Credit can not be taken back. The next stream has none, and what was not started goes back at once.
                raise StreamLost("left to give credit back")
            await worker.changed.wait()

    async def send_credit(self):
        """Sends the sum of the assigned runs and the free slots."""
        total = self.given + self.worker.free_slots
        if not self.worker.draining and total > self.credit:
            self.credit = total
            await self.write(credit=contract.connect.Credit(total=total))

    async def send_events(self, grant):
        while events := grant.unsent_events(self.event_credits):
            self.event_credits -= len(events.entries)
            await self.write(events=events)

    async def send_report(self, grant):
        # A report ends the grant, and later events are refused. So all events must be acknowledged first.
        if grant.report and not grant.report_sent and not grant.events:
            grant.report_sent = True
            await self.write(reports=contract.connect.Reports(reports=[grant.report]))

    async def accept(self, leases):
        await self.write(accepts=contract.connect.Accepts(leases=leases))

    async def keep_leases(self, welcome):
        interval = welcome.heartbeat_interval.ToTimedelta().total_seconds()
        lease = welcome.lease_timeout.ToTimedelta().total_seconds()
        while True:
            await asyncio.sleep(interval)
            # Including ended runs whose reports are not acknowledged.
            started = [grant for grant in self.worker.grants.values() if grant.is_started]
            if time.monotonic() - self.proven_alive > lease:
                # Other workers may have these runs by now.
                self.worker.drop([grant for grant in started if not grant.report])
                raise StreamLost("the server does not answer heartbeats")
            await self.heartbeat(started)

    async def heartbeat(self, grants):
        progress = [grant.take_progress() for grant in grants if grant.progress]
        self.unanswered.append(time.monotonic())
        leases = [grant.lease for grant in grants]
        await self.write(heartbeat=contract.connect.WorkerHeartbeat(leases=leases, progress=progress))

    # Frames of the server.

    async def listen(self):
        while (answer := await self.read()) is not None:
            kind = answer.WhichOneof("frame")
            await getattr(self, f"on_{kind}")(getattr(answer, kind))
            self.worker.changed.set()
        if not self.worker.draining or self.worker.grants:
            raise StreamLost("the server ended the stream")

    async def on_assignments(self, frame):
        grants = [Grant(assignment, self.worker.changed.set) for assignment in frame.assignments]
        for grant in grants:
            self.worker.grants[grant.key] = grant
            self.worker.observe("assigned", run_id=grant.run.id, fence=grant.fence)
        self.given += len(grants)
        assert self.given <= self.credit, "the server assigned more runs than there was credit for"
        await self.accept([grant.lease for grant in grants])

    async def on_starts(self, frame):
        for start in frame.starts:
            grant = self.worker.grants[start.run_id, start.fence]
            assert not grant.is_started, "the server started a grant twice"
            self.worker.observe("started", run_id=start.run_id, fence=start.fence, attempt=start.attempt)
            grant.start(start.attempt, self.worker.handlers[grant.run.kind])

    async def on_revokes(self, frame):
        for revoke in frame.revokes:
            self.worker.observe("revoked", run_id=revoke.run_id, fence=revoke.fence, reason=revoke.reason)
            self.lost(revoke)

    async def on_heartbeat_ack(self, frame):
        sent = self.unanswered.pop(0)
        # While leases are frozen, no lease can end.
        self.proven_alive = time.monotonic() if frame.frozen else sent
        for lease in frame.lost:
            self.worker.observe("lost", run_id=lease.run_id, fence=lease.fence)
            self.lost(lease)

    def lost(self, lease):
        grant = self.worker.grants.get((lease.run_id, lease.fence))
        # If the run has ended meanwhile, the ReportAck says that the grant is lost.
        if grant and not grant.report:
            self.worker.drop([grant])

    async def on_events_ack(self, frame):
        self.event_credits += frame.credits
        if grant := self.worker.grants.get((frame.run_id, frame.fence)):
            # A refused event would be refused again.
            grant.forget_events(grant.sent_seq if frame.reason else frame.through_seq)

    async def on_report_acks(self, frame):
        for result in frame.results:
            self.worker.grants.pop((result.run_id, result.fence), None)
            self.worker.observe("reported", run_id=result.run_id, accepted=result.accepted, reason=result.reason)

    async def on_cancels(self, frame):
        understood = []
        for cancel in frame.cancels:
            grant = self.worker.grants.get((cancel.run_id, cancel.fence))
            if grant and grant.task and not grant.cancel_requested:
                self.worker.observe("cancelling", run_id=cancel.run_id, reason=cancel.reason)
                # A worker kills its handler after the grace; a coroutine can not be killed.
                grant.cancel()
                understood.append(grant.lease)
        if understood:
            await self.write(cancel_acks=contract.connect.CancelAcks(leases=understood))

    async def on_drain(self, frame):
        self.worker.observe("drained", reason=contract.connect.DrainReason.Name(frame.reason))
        # If the server shuts down, the worker continues at another one after the stream has ended.
        if frame.reason == contract.connect.DRAIN_REASON_OPERATOR:
            self.worker.draining = True
