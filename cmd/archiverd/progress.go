package main

import (
	"fmt"
	"io"
	"os"
	gosync "sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"archiverd/internal/progress"
	"archiverd/internal/safetext"
)

// job is what progressDisplay shows.
type job interface{ Progress() progress.Progress }

// progressDisplay shows how far jobs have come: a bar on a terminal, a line now and
// then elsewhere. It may be started again when it has been stopped.
type progressDisplay struct {
	done chan struct{}
	wait gosync.WaitGroup
	out  io.Writer
	bar  *bar // nil: no terminal
}

// bar is a progress bar on a terminal, above which others may write.
type bar struct {
	f    *os.File
	mu   gosync.Mutex
	show *progressbar.ProgressBar // nil: not begun yet, or stopped
}

// Write prints log lines above the bar.
func (b *bar) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.show == nil {
		return b.f.Write(p)
	}
	if err := b.show.Clear(); err != nil {
		return 0, err
	}
	n, err := b.f.Write(p)
	if err != nil {
		return n, err
	}
	return n, b.show.RenderBlank()
}

const (
	barEvery  = 150 * time.Millisecond
	lineEvery = 15 * time.Second
)

// A terminal of less than barColumns columns gets no bar: percentage, bar,
// numbers and times would leave less than leastWords for what they are about.
const (
	barColumns = 70
	leastWords = 24
)

// columnsOf is the width of a terminal, 0 if f is none.
func columnsOf(f *os.File) int {
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// newProgress makes a display on standard error, which from then on is to be
// written to through a.err alone.
func (a *app) newProgress() *progressDisplay {
	p := &progressDisplay{out: a.err}
	if f, ok := a.err.(*os.File); ok && columnsOf(f) >= barColumns {
		p.bar = &bar{f: f}
		a.err = p.bar
	}
	return p
}

// start begins to show the jobs.
func (p *progressDisplay) start(jobs ...job) {
	p.done = make(chan struct{})
	if p.bar == nil {
		p.wait.Go(func() { p.lines(jobs) })
		return
	}
	limited := false // by a daily limit, of which the bar knows nothing
	for _, j := range jobs {
		limited = limited || j.Progress().DailyLimit > 0
	}
	p.bar.mu.Lock()
	defer p.bar.mu.Unlock()
	p.bar.show = progressbar.NewOptions64(-1, progressbar.OptionSetWriter(p.bar.f), progressbar.OptionSetWidth(20),
		progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(!limited), progressbar.OptionFullWidth(),
		progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(barEvery/2),
		progressbar.OptionSetSpinnerChangeInterval(0)) // redraw turns it: the library's own goroutine races with it
	p.wait.Go(func() { p.redraw(jobs) })
}

// total adds up the jobs' progress; the estimate is that of the last to end.
func total(jobs []job) (sum progress.Progress) {
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

func (p *progressDisplay) redraw(jobs []job) {
	tick := time.NewTicker(barEvery)
	defer tick.Stop()
	began, first := time.Now(), int64(0)
	for {
		select {
		case <-p.done:
			return
		case <-tick.C:
			s := total(jobs)
			speed := ""
			if s.Octets > 0 {
				if first == 0 {
					began, first = time.Now(), s.Octets
				}
				if d := time.Since(began).Seconds(); d > 1 {
					speed = " " + humanize.IBytes(uint64(float64(s.Octets-first)/d)) + "/s"
				}
				if e := s.Estimate; e != nil && e.Daily > 0 {
					speed = " " + e.Time()
				}
			}
			what := s.Mailbox
			if what == "" {
				what = s.Stage
			}
			p.bar.mu.Lock()
			room := columnsOf(p.bar.f) - barColumns + leastWords
			p.bar.show.Describe(safetext.Cut(s.Account+" "+what, min(room-len(speed), 40)) + speed)
			if s.Messages > 0 {
				p.bar.show.ChangeMax(s.Messages)
				_ = p.bar.show.Set(min(s.Received, s.Messages)) // a bar that can't be drawn is no loss
			}
			p.bar.mu.Unlock()
		}
	}
}

func (p *progressDisplay) lines(jobs []job) {
	tick := time.NewTicker(lineEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.done:
			return
		case <-tick.C:
			fmt.Fprintln(p.out, describe(total(jobs)))
		}
	}
}

// describe says in a line how far a run has come.
func describe(p progress.Progress) string {
	text := safetext.Line(p.Account) + ": " + p.Stage
	if p.Messages > 0 {
		text += fmt.Sprintf(" %s, %d of %d messages, %s", safetext.Line(p.Mailbox), p.Received, p.Messages, humanize.IBytes(uint64(p.Octets))) + remaining(p.Estimate)
	}
	return text
}

// stop ends the display and clears the bar.
func (p *progressDisplay) stop() {
	close(p.done)
	p.wait.Wait()
	if p.bar == nil {
		return
	}
	p.bar.mu.Lock()
	defer p.bar.mu.Unlock()
	_ = p.bar.show.Clear() // the same
	p.bar.show = nil
}
