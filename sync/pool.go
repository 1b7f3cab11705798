package sync

import (
	"context"
	gosync "sync"

	"archiverd/internal/logkey"
	"archiverd/internal/wire"
)

// pool counts the workers of a run, each of which has a connection.
type pool struct {
	// Constant.
	cancelConnecting context.CancelFunc // further workers that are connecting give up
	runWorker        func()             // the goroutine of a further worker

	workers gosync.WaitGroup // the goroutines of the run

	// mayPreconnect is owned by the first worker: the account is new, so that there
	// will be work for all workers.
	mayPreconnect bool

	mu         gosync.Mutex // guards all below
	max        int          // workers that there may be
	running    int
	connecting int // workers that are about to connect
}

// newPool returns the pool of a run with its first worker.
func newPool(maxWorkers int, cancelConnecting context.CancelFunc, runWorker func()) *pool {
	return &pool{cancelConnecting: cancelConnecting, runWorker: runWorker, max: maxWorkers, running: 1}
}

// maxWorkers returns how many workers there may be.
func (p *pool) maxWorkers() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.max
}

// reserve counts one more worker as connecting, if fewer than wanted exist and another
// may. wanted is how many workers have work.
func (p *pool) reserve(wanted int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.running + p.connecting
	if n >= p.max || n >= wanted {
		return false
	}
	p.connecting++
	return true
}

// connected counts a further worker that has a connection, or failed to get one: then
// there are no more to be had.
func (p *pool) connected(ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.connecting--
	if ok {
		p.running++
	} else {
		p.max = max(1, p.running+p.connecting)
	}
}

// retire takes a worker out that can't keep a connection. It reports false for the
// last one, which must go on.
func (p *pool) retire() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running < 2 {
		return false
	}
	p.running--
	p.max = p.running + p.connecting
	return true
}

// startWorkers starts workers while more tasks wait than there are workers.
func (r *run) startWorkers(waiting int) {
	for r.pool.reserve(waiting) {
		r.pool.workers.Go(r.pool.runWorker)
	}
}

// preconnect starts all workers while the first one still lists, if there will be work
// for all: in an account that was never archived. They wait for endListing.
func (r *run) preconnect() {
	if !r.pool.mayPreconnect {
		return
	}
	r.pool.mayPreconnect = false
	r.queue.startListing()
	r.startWorkers(r.pool.maxWorkers())
}

// runWorker is the goroutine of a further worker. That it gets no connection is not an
// error. It connects under connectCtx, works under ctx and logs out under outer.
func (r *run) runWorker(ctx, connectCtx, outer context.Context) {
	defer r.recoverPanic()
	w := newWorker(r)
	defer w.close(ctx, outer)
	ok := w.join(connectCtx)
	r.pool.connected(ok)
	if ok {
		w.loop(ctx)
	}
}

// recoverPanic makes a panic of a further worker the run's error. It must be deferred.
func (r *run) recoverPanic() {
	if p := recover(); p != nil {
		r.cancel(r.job.panicked(p))
	}
}

// join connects a further worker, if there is a slot and a connection for it.
func (w *worker) join(ctx context.Context) bool {
	r := w.run
	if !w.session.TryAcquire() {
		return false
	}
	err := w.session.Connect(ctx)
	if ctx.Err() != nil { // if that was just now, the connection fails at its next command
		w.drop()
		return false
	}
	if err != nil {
		r.pauseFor(wire.RetryAfter(err), err)
		r.job.Log.Info("another connection failed; continuing with fewer", logkey.Account, r.job.Account.Name, logkey.Error, err)
	}
	return err == nil
}

// retire takes the worker out of the pool, unless it is the last one.
func (w *worker) retire() bool {
	if !w.run.pool.retire() {
		return false
	}
	w.run.queue.endProbing(w)
	return true
}
