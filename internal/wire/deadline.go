package wire

import (
	"fmt"
	"time"
)

// deadline is until when the server must have sent something. Only time spent
// waiting for the network counts: a slow disk of ours is not the server's fault.
type deadline struct {
	timeouts      Timeouts
	answerWait    time.Duration // for the first octet of each answer
	readWait      time.Duration // for the next read; Timeouts.Idle once an answer has started
	at            time.Time     // absolute end of all reading; zero: none
	sinceProgress time.Duration // network time since the server last did what it was asked for
	answerStarted bool          // part of the answer has come
}

// startCommand resets the clocks for a command whose first octet may take wait.
func (d *deadline) startCommand(wait time.Duration) {
	d.answerWait, d.at = wait, time.Time{}
	d.startAnswer()
}

// startAnswer resets the clocks for one answer. The answer to each pipelined command
// may take as long as the first.
func (d *deadline) startAnswer() {
	d.readWait, d.answerStarted, d.sinceProgress = d.answerWait, false, 0
}

// capAt makes end the absolute end of all reading, if it is not earlier.
func (d *deadline) capAt(end time.Time) {
	if d.at.IsZero() || end.Before(d.at) {
		d.at = end
	}
}

// nextRead is until when a read that starts now may take.
func (d *deadline) nextRead(now time.Time) time.Time {
	end := now.Add(d.readWait)
	if !d.at.IsZero() && d.at.Before(end) {
		return d.at
	}
	return end
}

// received counts a read that brought octets. The error is ErrTooSlow if the server
// has sent nothing but replies that nobody asked for during Timeouts.Stall.
func (d *deadline) received(waited time.Duration) error {
	d.readWait, d.answerStarted = d.timeouts.Idle, true
	d.sinceProgress += waited
	if d.sinceProgress > d.timeouts.Stall {
		return &Error{Class: ClassTransient, Err: fmt.Errorf("no progress for %v: %w", d.timeouts.Stall, ErrTooSlow)}
	}
	return nil
}

// minimumRate is the least speed inside a line or literal.
type minimumRate struct {
	MinRate
	inUnit bool
	waited time.Duration // network time in the current window
	octets int           // received in the current window
}

func (m *minimumRate) begin() { m.inUnit, m.waited, m.octets = true, 0, 0 }

// received counts n octets. The error is ErrTooSlow once a whole window was slower
// than the minimum.
func (m *minimumRate) received(n int, waited time.Duration) error {
	if !m.inUnit || m.Octets < 0 {
		return nil
	}
	m.waited += waited
	m.octets += n
	if m.waited < m.Window {
		return nil
	}
	if float64(m.octets) < float64(m.Octets)*m.waited.Seconds() {
		return &Error{Class: ClassTransient, Err: fmt.Errorf("%d octets in %v: %w", m.octets, m.waited.Round(time.Second), ErrTooSlow)}
	}
	m.waited, m.octets = 0, 0
	return nil
}
