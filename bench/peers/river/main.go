// River, set up as its own benchmark sets it up:
// https://github.com/riverqueue/river/blob/master/cmd/river/riverbench/river_bench.go
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

const (
	maxWorkers        = 2000
	fetchCooldown     = 2 * time.Millisecond
	fetchPollInterval = 20 * time.Millisecond
	connections       = 20
)

// NoopArgs is the payload of a job; DueNs is of CLOCK_MONOTONIC and 0 where nobody measures the start.
type NoopArgs struct {
	N     int    `json:"n"`
	To    string `json:"to"`
	DueNs int64  `json:"due_ns,omitempty"`
}

// Kind names the job in the database.
func (NoopArgs) Kind() string { return "noop" }

type noopWorker struct {
	river.WorkerDefaults[NoopArgs]
	report *report
}

func (w *noopWorker) Work(ctx context.Context, job *river.Job[NoopArgs]) error {
	w.report.executed(job.Args)
	return river.RecordOutput(ctx, outcome{OK: true})
}

// outcome is what a job leaves behind: https://riverqueue.com/docs/recorded-output
type outcome struct {
	OK bool `json:"ok"`
}

var logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))

func connect(ctx context.Context) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(os.Getenv("DATABASE_URL"))
	if err != nil {
		return nil, err
	}
	config.MaxConns, config.MinConns = connections, connections
	return pgxpool.NewWithConfig(ctx, config)
}

// producer inserts; its client works no queue.
type producer struct {
	pool   *pgxpool.Pool
	client *river.Client[pgx.Tx]
}

func newProducer(ctx context.Context) (*producer, error) {
	pool, err := connect(ctx)
	if err != nil {
		return nil, err
	}
	// It also limits how often an inserting client notifies the others.
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{FetchCooldown: fetchCooldown, Logger: logger})
	return &producer{pool, client}, err
}

func (p *producer) createSchema(ctx context.Context) error {
	migrator, err := rivermigrate.New(riverpgxv5.New(p.pool), &rivermigrate.Config{Logger: logger})
	if err != nil {
		return err
	}
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return err
}

func (p *producer) settle(ctx context.Context) error {
	_, err := p.pool.Exec(ctx, "VACUUM (ANALYZE)")
	return err
}

// insertMany uses COPY, River's fastest way in: https://riverqueue.com/docs/batch-job-insertion
func (p *producer) insertMany(ctx context.Context, payloads []NoopArgs) error {
	params := make([]river.InsertManyParams, len(payloads))
	for i, payload := range payloads {
		params[i] = river.InsertManyParams{Args: payload}
	}
	_, err := p.client.InsertManyFast(ctx, params)
	return err
}

func (p *producer) insert(ctx context.Context, payload NoopArgs) error {
	_, err := p.client.Insert(ctx, payload, nil)
	return err
}

func (p *producer) anyUnfinished(ctx context.Context) (any bool, err error) {
	err = p.pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM river_job WHERE state <> 'completed')").Scan(&any)
	return any, err
}

func (p *producer) keptRows(ctx context.Context) (rows int, err error) {
	err = p.pool.QueryRow(ctx, "SELECT count(*) FROM river_job WHERE state = 'completed'").Scan(&rows)
	return rows, err
}

func newWorker(ctx context.Context, report *report) (*river.Client[pgx.Tx], error) {
	pool, err := connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := pool.Ping(ctx); err != nil {
		return nil, err
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, &noopWorker{report: report})
	return river.NewClient(riverpgxv5.New(pool), &river.Config{
		FetchCooldown:     fetchCooldown,
		FetchPollInterval: fetchPollInterval,
		Logger:            logger,
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: maxWorkers}},
		Workers:           workers,
	})
}

// version is the one that this program was built with.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == "github.com/riverqueue/river" {
				return module.Version[1:]
			}
		}
	}
	return "unknown"
}

func main() {
	ctx := context.Background()
	var err error
	switch {
	case len(os.Args) == 2 && os.Args[1] == "produce":
		err = produce(ctx, fmt.Sprintf("MaxWorkers %d, FetchCooldown %v, FetchPollInterval %v, pgx pool of %d, RecordOutput, InsertManyFast of %d",
			maxWorkers, fetchCooldown, fetchPollInterval, connections, batch))
	case len(os.Args) == 2 && os.Args[1] == "work":
		err = work(ctx)
	default:
		err = fmt.Errorf("the role is produce or work")
	}
	if err != nil {
		logger.Error(err.Error())
		os.Exit(1)
	}
}
