"use strict";
// The two roles of a Node peer, spoken to by measure.py: lines in, lines that begin with "@" out.

const { createInterface } = require("node:readline");

const BATCH = 1000;
const IN_FLIGHT = 2; // two batches at once: one is written while the next is made ready

/** Milliseconds of CLOCK_MONOTONIC, the same in every process of the machine. */
const now = () => Number(process.hrtime.bigint()) / 1e6;
const answer = (words) => process.stdout.write(`@${words}\n`);
const ok = (done) => done.then(() => "ok");
const sleep = (ms) => new Promise((wake) => setTimeout(wake, ms));

/** A timer of Node is up to a millisecond late: it wakes early, and the rest is spent looking at the clock. */
async function sleepUntil(due) {
  while (due - now() > 2) await sleep(Math.floor(due - now() - 1));
  while (now() < due) await new Promise(setImmediate);
}

async function enqueue(producer, first, count) {
  let next = first;
  const lane = async () => {
    while (next < first + count) {
      const size = Math.min(BATCH, first + count - next);
      const payloads = Array.from({ length: size }, () => ({ n: next++, to: "someone@example.com" }));
      await producer.enqueue(payloads);
    }
  };
  const begun = now();
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
  return (now() - begun) / 1000;
}

/** An open model: the due times are fixed before the first job, and a slow insert does not hold up the next. */
async function pace(producer, first, count, rate) {
  const begin = now() + 100;
  const sent = [];
  for (let i = 0; i < count; i++) {
    const due = begin + (i * 1000) / rate;
    await sleepUntil(due);
    sent.push(producer.enqueueOne({ n: first + i, to: "someone@example.com", due }));
  }
  await Promise.all(sent);
}

/** Waits until the database has no unfinished job; answers when that was, and how many finished rows it keeps. */
async function finished(producer) {
  while (await producer.anyUnfinished()) await sleep(2);
  const at = process.hrtime.bigint();
  return `${at} ${await producer.keptRows()}`;
}

async function produce(about, producer, lines) {
  answer(JSON.stringify(about));
  for await (const line of lines) {
    const [command, ...numbers] = line.split(" ");
    const [first, count, rate] = numbers.map(Number);
    if (command === "schema") answer(await ok(producer.createSchema()));
    else if (command === "settle") answer(await ok(producer.settle()));
    else if (command === "enqueue") answer(await enqueue(producer, first, count));
    else if (command === "pace") answer(await ok(pace(producer, first, count, rate)));
    else if (command === "finished") answer(await finished(producer));
    else throw new Error(`unknown command ${line}`);
  }
  await producer.close();
}

async function work(worker, lines) {
  const report = { executed: [], latencies_ms: [] };
  const handle = (payload) => {
    if (payload.due !== undefined) report.latencies_ms.push(now() - payload.due);
    report.executed.push(payload.n);
  };
  let reported = 0;
  setInterval(() => {
    if (report.executed.length !== reported) answer(`executed ${(reported = report.executed.length)}`);
  }, 5).unref();
  answer("ready");
  for await (const line of lines) {
    if (line === "start") await worker.start(handle);
    else if (line === "report") answer(JSON.stringify(report));
    else throw new Error(`unknown command ${line}`);
  }
  await worker.stop();
}

/** Runs the role that the command line names; `produce` and `work` connect to the database that they are given. */
module.exports = async (peer) => {
  const lines = createInterface({ input: process.stdin });
  const url = process.env.DATABASE_URL;
  if (process.argv[2] === "produce") await produce(peer.about, await peer.produce(url), lines);
  else if (process.argv[2] === "work") await work(await peer.work(url), lines);
  else throw new Error("the role is produce or work");
  process.exit(0);
};
