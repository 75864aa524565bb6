package main

// The two roles of this peer, spoken to by measure.py: lines in, lines that begin with "@" out.

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

const (
	batch    = 1000
	inFlight = 2 // two batches at once: one is written while the next is made ready
)

func answer(words any) { fmt.Printf("@%v\n", words) }

// nowNs is CLOCK_MONOTONIC, the same in every process of the machine.
func nowNs() int64 {
	var at unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &at); err != nil {
		panic(err)
	}
	return at.Nano()
}

type report struct {
	mutex     sync.Mutex
	count     atomic.Int64
	Executed  []int     `json:"executed"`
	Latencies []float64 `json:"latencies_ms"`
}

func (r *report) executed(job NoopArgs) {
	started := nowNs()
	r.mutex.Lock()
	if job.DueNs != 0 {
		r.Latencies = append(r.Latencies, float64(started-job.DueNs)/1e6)
	}
	r.Executed = append(r.Executed, job.N)
	r.mutex.Unlock()
	r.count.Add(1)
}

// tell says how many jobs were executed, when there are more of them.
func (r *report) tell() {
	for reported := int64(0); ; time.Sleep(5 * time.Millisecond) {
		if count := r.count.Load(); count != reported {
			reported = count
			answer(fmt.Sprintf("executed %d", reported))
		}
	}
}

func enqueue(ctx context.Context, p *producer, first, count int) (float64, error) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(inFlight)
	begun := nowNs()
	for from := first; from < first+count; from += batch {
		group.Go(func() error {
			payloads := make([]NoopArgs, 0, batch)
			for n := from; n < min(from+batch, first+count); n++ {
				payloads = append(payloads, NoopArgs{N: n, To: "someone@example.com"})
			}
			return p.insertMany(ctx, payloads)
		})
	}
	err := group.Wait()
	return float64(nowNs()-begun) / 1e9, err
}

// pace is an open model: the due times are fixed before the first job, and a slow insert does not hold up the next.
func pace(ctx context.Context, p *producer, first, count, rate int) error {
	group, ctx := errgroup.WithContext(ctx)
	begin := nowNs() + int64(100*time.Millisecond)
	for i := range count {
		due := begin + int64(i)*int64(time.Second)/int64(rate)
		time.Sleep(time.Duration(due - nowNs()))
		group.Go(func() error {
			return p.insert(ctx, NoopArgs{N: first + i, To: "someone@example.com", DueNs: due})
		})
	}
	return group.Wait()
}

// finished waits until the database has no unfinished job; it returns when that was, and how many finished rows are kept.
func finished(ctx context.Context, p *producer) (string, error) {
	for {
		if any, err := p.anyUnfinished(ctx); err != nil {
			return "", err
		} else if !any {
			break
		}
		time.Sleep(2 * time.Millisecond)
	}
	at := nowNs()
	rows, err := p.keptRows(ctx)
	return fmt.Sprintf("%d %d", at, rows), err
}

func produce(ctx context.Context, settings string) error {
	p, err := newProducer(ctx)
	if err != nil {
		return err
	}
	about, err := json.Marshal(map[string]any{"version": version(), "settings": settings, "keeps_outcome_rows": true})
	if err != nil {
		return err
	}
	answer(string(about))
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var command string
		var first, count, rate int
		fmt.Sscan(lines.Text(), &command, &first, &count, &rate) // a command that has fewer numbers leaves the rest 0
		var said any = "ok"
		switch command {
		case "schema":
			err = p.createSchema(ctx)
		case "settle":
			err = p.settle(ctx)
		case "enqueue":
			said, err = enqueue(ctx, p, first, count)
		case "pace":
			err = pace(ctx, p, first, count, rate)
		case "finished":
			said, err = finished(ctx, p)
		default:
			err = fmt.Errorf("unknown command %s", lines.Text())
		}
		if err != nil {
			return err
		}
		answer(said)
	}
	return nil
}

func work(ctx context.Context) error {
	r := &report{}
	client, err := newWorker(ctx, r)
	if err != nil {
		return err
	}
	go r.tell()
	answer("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		switch lines.Text() {
		case "start":
			err = client.Start(ctx)
		case "report":
			var said []byte
			r.mutex.Lock()
			said, err = json.Marshal(r)
			r.mutex.Unlock()
			answer(string(said))
		default:
			err = fmt.Errorf("unknown command %s", lines.Text())
		}
		if err != nil {
			return err
		}
	}
	return client.Stop(ctx)
}
