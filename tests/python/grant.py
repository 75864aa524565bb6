"""A grant: a run that is assigned to this worker, as its handler sees it, and what the worker still has to send about it."""

import asyncio
import json
import traceback

import contract


class Grant:
    """One assignment of a run. Each message about it names the run and the fence."""

    def __init__(self, assignment, changed):
        self.run = assignment.run
        self.fence = assignment.fence
        self.timeout = assignment.timeout.ToTimedelta().total_seconds() if assignment.HasField("timeout") else None
        self.attempt = None  # Set by Start.
        self.task = None  # Runs the handler, from Start until it has ended.
        self.cancel_requested = False
        self.events = []  # Unacknowledged events, by ascending number.
        self.next_seq = 1
        self.sent_seq = 0  # Events up to this number were sent on this stream.
        self.progress = None  # Sent with the next heartbeat.
        self.report = None  # Set when the handler has ended; kept until it is acknowledged.
        self.report_sent = False
        self._changed = changed

    @property
    def key(self):
        return self.run.id, self.fence

    @property
    def lease(self):
        return contract.worker.Lease(run_id=self.run.id, fence=self.fence)

    @property
    def is_started(self):
        return self.attempt is not None

    # For handlers.

    @property
    def params(self):
        return json.loads(self.run.params_json or "{}")

    def log(self, text, level=contract.run_event.EVENT_LEVEL_INFO, data=None):
        """Adds a line to the run's log. It is sent as soon as there are credits."""
        data_json = json.dumps(data) if data is not None else ""
        self.events.append((self.next_seq, contract.run_event.EventEntry(level=level, text=text, data_json=data_json)))
        self.next_seq += 1
        self._changed()

    def set_progress(self, fraction, message=""):
        self.progress = contract.run.Progress(fraction=fraction, message=message)

    # For the stream.

    def start(self, attempt, handler):
        """Starts the handler. Call it only after the server's Start."""
        self.attempt = attempt
        self.task = asyncio.ensure_future(asyncio.wait_for(handler(self), self.timeout))
        self.task.add_done_callback(self._ended)

    def cancel(self):
        """Stops the handler because of a cancel; the outcome is reported."""
        self.cancel_requested = True
        self.task.cancel()

    def _ended(self, task):
        if task.cancelled():
            if not self.cancel_requested:
                return  # The grant is lost: nothing is reported.
            outcome = contract.worker.Outcome(cancelled=contract.worker.Cancelled())
        elif isinstance(task.exception(), asyncio.TimeoutError):
            outcome = failed("Timeout", f"it took longer than {self.timeout} s")
        elif error := task.exception():
            stack = "".join(traceback.format_exception(error))
            outcome = failed(type(error).__name__, str(error), stack)
        else:
            result = json.dumps(task.result())
            outcome = contract.worker.Outcome(succeeded=contract.worker.Succeeded(result_json=result))
        self.report = contract.worker.RunReport(run_id=self.run.id, fence=self.fence, outcome=outcome)
        self._changed()

    def take_progress(self):
        progress, self.progress = self.progress, None
        return contract.worker.RunProgress(run_id=self.run.id, fence=self.fence, progress=progress)

    def unsent_events(self, credits):
        """The events to send next, as one frame of at most `credits` events, or None."""
        entries = [(seq, entry) for seq, entry in self.events if seq > self.sent_seq][:credits]
        if not entries:
            return None
        self.sent_seq = entries[-1][0]
        return contract.connect.RunEvents(
            run_id=self.run.id, fence=self.fence, first_seq=entries[0][0], entries=[entry for _, entry in entries]
        )

    def forget_events(self, through_seq):
        self.events = [(seq, entry) for seq, entry in self.events if seq > through_seq]

    def stream_lost(self):
        """Marks unacknowledged events and reports to be sent again: they may not have arrived."""
        self.sent_seq = self.events[0][0] - 1 if self.events else self.next_seq - 1
        self.report_sent = False


def failed(kind, message, stack=""):
    error = contract.run.RunError(type=kind, message=message or kind, stack=stack)
    return contract.worker.Outcome(failed=contract.worker.Failed(error=error))
