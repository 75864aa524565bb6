"use strict";
// graphile-worker as its page on performance sets it up: https://worker.graphile.org/docs/performance

const { Logger, makeWorkerUtils, run } = require("graphile-worker");
const version = require("./package.json").dependencies["graphile-worker"];
const { Pool } = require("pg");
const roles = require("../roles.cjs");

const CONCURRENCY = 24;
const LOCAL_QUEUE = 500;
const TASK = "noop";

// "Quick stats" of that page: a local queue, and completions written in batches with no added delay.
const preset = {
  worker: {
    concurrentJobs: CONCURRENCY,
    maxPoolSize: CONCURRENCY + 1,
    localQueue: { size: LOCAL_QUEUE },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
  },
};

// Its log goes to standard output by default, which carries the answers here.
const logger = new Logger(() => (level, message) => {
  if (level === "error" || level === "warning") console.error(message);
});

/** graphile-worker asks that whoever makes the pool hears its errors. */
function connect(connectionString, max) {
  const pool = new Pool({ connectionString, max });
  pool.on("error", (error) => console.error(error));
  pool.on("connect", (client) => client.on("error", (error) => console.error(error)));
  return pool;
}

async function produce(connectionString) {
  const pgPool = connect(connectionString, 10);
  const utils = await makeWorkerUtils({ pgPool, logger });
  const spec = (payload) => ({ identifier: TASK, payload });
  return {
    createSchema: () => utils.migrate(),
    settle: () => pgPool.query("VACUUM (ANALYZE)"),
    enqueue: (payloads) => utils.addJobs(payloads.map(spec)),
    enqueueOne: (payload) => utils.addJob(TASK, payload),
    anyUnfinished: async () => (await pgPool.query("SELECT EXISTS (SELECT FROM graphile_worker.jobs) AS any")).rows[0].any,
    keptRows: async () => 0, // a finished job is deleted
    close: async () => {
      await utils.release();
      await pgPool.end();
    },
  };
}

async function work(connectionString) {
  const pgPool = connect(connectionString, CONCURRENCY + 1);
  // The connections are opened before the clock starts.
  const clients = await Promise.all(Array.from({ length: CONCURRENCY + 1 }, () => pgPool.connect()));
  clients.forEach((client) => client.release());
  let runner;
  return {
    start: async (handle) => {
      const taskList = { [TASK]: async (payload) => handle(payload) };
      runner = await run({ preset, pgPool, taskList, parsedCronItems: [], noHandleSignals: true, logger });
    },
    stop: async () => {
      await runner.stop();
      await pgPool.end();
    },
  };
}

roles({
  about: {
    version,
    settings: `concurrency ${CONCURRENCY}, localQueue ${LOCAL_QUEUE}, completions in batches without delay, addJobs of 1000`,
    keeps_outcome_rows: false,
  },
  produce,
  work,
});
