package ui

import (
	"os"
	gosync "sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"archiverd/internal/progress"
	"archiverd/internal/safetext"
)

// A terminal of fewer columns than minBarColumns has no bar: percentage, bar, numbers
// and times would leave less than minLabelColumns for the account and mailbox.
const (
	minBarColumns   = 70
	minLabelColumns = 24
	maxLabelColumns = 40
)

// redrawInterval is the time between two drawings of the bar.
const redrawInterval = 150 * time.Millisecond

// bar is a progress bar on a terminal. Other lines are written above it, with Write.
type bar struct {
	file *os.File
	mu   gosync.Mutex
	show *progressbar.ProgressBar // under mu; nil: nothing is shown
}

// Write writes lines above the bar.
func (b *bar) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.show == nil {
		return b.file.Write(p)
	}
	if err := b.show.Clear(); err != nil {
		return 0, err
	}
	n, err := b.file.Write(p)
	if err != nil {
		return n, err
	}
	return n, b.show.RenderBlank()
}

// start shows an empty bar, with the library's prediction of the end if predict is set.
func (b *bar) start(predict bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.show = progressbar.NewOptions64(-1, progressbar.OptionSetWriter(b.file), progressbar.OptionSetWidth(20),
		progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(predict), progressbar.OptionFullWidth(),
		progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(redrawInterval/2),
		progressbar.OptionSetSpinnerChangeInterval(0)) // redraw turns the spinner: the library's own goroutine races with it
}

// stop clears the bar.
func (b *bar) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	_ = b.show.Clear() // a bar that can't be cleared does no harm
	b.show = nil
}

// redraw draws the progress of the jobs until done is closed.
func (b *bar) redraw(jobs []Job, done <-chan struct{}) {
	tick := time.NewTicker(redrawInterval)
	defer tick.Stop()
	var pace pace
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			sum := sumProgress(jobs)
			b.draw(sum, pace.text(sum, time.Now()))
		}
	}
}

// draw draws one state of the bar, with the pace behind its label.
func (b *bar) draw(p progress.Progress, pace string) {
	label := p.Mailbox
	if label == "" {
		label = p.Stage
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	columns := Width(b.file) - minBarColumns + minLabelColumns - len(pace)
	b.show.Describe(safetext.Cut(p.Account+" "+label, min(columns, maxLabelColumns)) + pace)
	if p.Messages > 0 {
		b.show.ChangeMax(p.Messages)
		_ = b.show.Set(min(p.Received, p.Messages)) // a bar that can't be drawn does no harm
	}
}

// pace measures the speed since the first octets.
type pace struct {
	start  time.Time
	octets int64 // at start; 0: nothing was received yet
}

// text is " 1.2 MiB/s", or with a daily limit the time that is left; empty as long as
// neither is known.
func (a *pace) text(p progress.Progress, now time.Time) string {
	if p.Octets == 0 {
		return ""
	}
	if e := p.Estimate; e != nil && e.Daily > 0 {
		return " " + e.Time()
	}
	if a.octets == 0 {
		a.start, a.octets = now, p.Octets
	}
	seconds := now.Sub(a.start).Seconds()
	if seconds <= 1 {
		return ""
	}
	return " " + Octets(int64(float64(p.Octets-a.octets)/seconds)) + "/s"
}
