package ui

import (
	"fmt"
	"io"
	gosync "sync"
	"time"

	"archiverd/internal/progress"
	"archiverd/internal/safetext"
)

// Job is a running job whose progress is shown.
type Job interface{ Progress() progress.Progress }

// ProgressDisplay shows how far jobs are: a bar on a wide terminal, elsewhere a line
// every 15 seconds. After Stop it can be started again. Its methods are for one
// goroutine.
type ProgressDisplay struct {
	out  io.Writer
	bar  *bar // nil: lines are printed
	done chan struct{}
	wait gosync.WaitGroup
}

// NewProgressDisplay returns a display on out, and the writer through which everything
// else must be written to out from then on: it keeps other lines above the bar.
func NewProgressDisplay(out io.Writer) (*ProgressDisplay, io.Writer) {
	p := &ProgressDisplay{out: out}
	if f := Terminal(out); f != nil && Width(f) >= minBarColumns {
		p.bar = &bar{file: f}
		return p, p.bar
	}
	return p, out
}

// Start shows the progress of the jobs until Stop.
func (p *ProgressDisplay) Start(jobs ...Job) {
	p.done = make(chan struct{})
	if p.bar == nil {
		p.wait.Go(func() { p.printLines(jobs) })
		return
	}
	hasDailyLimit := false
	for _, j := range jobs {
		hasDailyLimit = hasDailyLimit || j.Progress().DailyLimit > 0
	}
	p.bar.start(!hasDailyLimit) // the bar's own prediction ignores the limit
	p.wait.Go(func() { p.bar.redraw(jobs, p.done) })
}

// Stop ends the display and clears the bar.
func (p *ProgressDisplay) Stop() {
	close(p.done)
	p.wait.Wait()
	if p.bar != nil {
		p.bar.stop()
	}
}

// sumProgress adds up the progress of the jobs. The estimate is that of the job which
// ends last.
func sumProgress(jobs []Job) (sum progress.Progress) {
	for _, j := range jobs {
		p := j.Progress()
		sum.Messages += p.Messages
		sum.Received += p.Received
		sum.Octets += p.Octets
		sum.Mailboxes += p.Mailboxes
		sum.Finished += p.Finished
		if p.Estimate != nil && (sum.Estimate == nil || p.Estimate.Done.After(sum.Estimate.Done)) {
			sum.Estimate = p.Estimate
		}
		if sum.Mailbox == "" && p.Stage != "done" {
			sum.Account, sum.Mailbox, sum.Stage = p.Account, p.Mailbox, p.Stage
		}
	}
	return sum
}

// lineInterval is the time between two lines of progress.
const lineInterval = 15 * time.Second

func (p *ProgressDisplay) printLines(jobs []Job) {
	tick := time.NewTicker(lineInterval)
	defer tick.Stop()
	for {
		select {
		case <-p.done:
			return
		case <-tick.C:
			fmt.Fprintln(p.out, progressLine(sumProgress(jobs)))
		}
	}
}

// progressLine says in one line how far a job is.
func progressLine(p progress.Progress) string {
	text := safetext.Line(p.Account) + ": " + p.Stage
	if p.Messages > 0 {
		text += fmt.Sprintf(" %s, %d of %d messages, %s", safetext.Line(p.Mailbox), p.Received, p.Messages, Octets(p.Octets)) + Remaining(p.Estimate)
	}
	return text
}

// Remaining is "; about 3 hours left, at 2 MB/s" for an estimate, and empty without one.
func Remaining(e *progress.Estimate) string {
	if e == nil {
		return ""
	}
	return "; " + e.Remaining()
}
