"use strict";
// pg-boss, set up as its pages on workers and queues say for throughput: https://timgit.github.io/pg-boss/api/workers

const { PgBoss } = require("pg-boss");
const version = require("./package.json").dependencies["pg-boss"];
const { Pool } = require("pg");
const roles = require("../roles.cjs");

const QUEUE = "noop";
const BATCH_SIZE = 1000;
const LOCAL_CONCURRENCY = 2;

function connect(connectionString, options) {
  const boss = new PgBoss({ connectionString, max: 10, schedule: false, ...options });
  boss.on("error", (error) => console.error(error));
  return boss;
}

async function produce(connectionString) {
  const boss = connect(connectionString, { supervise: false });
  const pool = new Pool({ connectionString, max: 1 });
  const look = async (sql) => (await pool.query(sql)).rows[0].answer;
  return {
    createSchema: async () => {
      await boss.start();
      // notify: a new job wakes an idle worker, instead of the next poll (0.5 s at the least).
      await boss.createQueue(QUEUE, { notify: true });
    },
    settle: () => pool.query("VACUUM (ANALYZE)"),
    enqueue: (payloads) => boss.insert(QUEUE, payloads.map((data) => ({ data }))),
    enqueueOne: (payload) => boss.send(QUEUE, payload),
    anyUnfinished: () => look(`SELECT EXISTS (SELECT FROM pgboss.job WHERE name = '${QUEUE}' AND state < 'completed') AS answer`),
    keptRows: async () => Number(await look(`SELECT count(*) AS answer FROM pgboss.job WHERE name = '${QUEUE}' AND state = 'completed'`)),
    close: async () => {
      await boss.stop();
      await pool.end();
    },
  };
}

async function work(connectionString) {
  const boss = connect(connectionString, { useListenNotify: true });
  await boss.start();
  return {
    start: async (handle) => {
      const options = {
        batchSize: BATCH_SIZE,
        localConcurrency: LOCAL_CONCURRENCY,
        burstWhenBatchFull: true, // after a full batch the next fetch comes at once
        perJobResults: true, // each job keeps its own result; a batch is still completed by one statement
      };
      await boss.work(QUEUE, options, async (jobs) =>
        jobs.map(({ id, data }) => {
          handle(data);
          return { id, status: "completed", output: { ok: true } };
        }),
      );
    },
    stop: () => boss.stop(),
  };
}

roles({
  about: {
    version,
    settings: `batchSize ${BATCH_SIZE}, localConcurrency ${LOCAL_CONCURRENCY}, burstWhenBatchFull, perJobResults, notify, insert of 1000`,
    keeps_outcome_rows: true,
  },
  produce,
  work,
});
