package wire

import (
	"cmp"
	"fmt"
	"time"
)

// deadline is until when the server must have sent something. Only time spent
// waiting for the network counts: a slow disk of ours is not the server's fault.
type deadline struct {
	timeouts      Timeouts
	answerWait    time.Duration // for the first octet of each answer
	readWait      time.Duration // for the next read; Timeouts.Idle once an answer has started
	stall         time.Duration // how far spent may go
	at            time.Time     // absolute end of all reading; zero: none
	spent         time.Duration // network time of the answer, less what its replies earned
	answerStarted bool          // part of the answer has come
}

// replyEarns is the network time that each reply that a command asked for earns it: an
// answer may take long in proportion to what it says, and a reply now and then does not
// keep a command alive for ever.
const replyEarns = 100 * time.Millisecond

// startCommand resets the clocks for a command whose first octet may take wait. stall
// is how long its answer may take beyond what it earns; 0 stands for Timeouts.Stall.
func (d *deadline) startCommand(wait, stall time.Duration) {
	d.answerWait, d.stall, d.at = wait, cmp.Or(stall, d.timeouts.Stall), time.Time{}
	d.startAnswer()
}

// startAnswer resets the clocks for one answer. The answer to each pipelined command
// may take as long as the first.
func (d *deadline) startAnswer() {
	d.readWait, d.answerStarted, d.spent = d.answerWait, false, 0
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

// earned gives the answer more time.
func (d *deadline) earned(more time.Duration) { d.spent = max(0, d.spent-more) }

// received counts a read that brought octets. The error is ErrTooSlow if the answer has
// taken longer than Timeouts.Stall beyond what its replies earned.
func (d *deadline) received(waited time.Duration) error {
	d.readWait, d.answerStarted = d.timeouts.Idle, true
	d.spent += waited
	if d.stall > 0 && d.spent > d.stall {
		return &Error{Class: ClassTransient, Err: fmt.Errorf("no answer within %v: %w", d.stall, ErrTooSlow)}
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

// timeFor returns how long n octets may take.
func (m *minimumRate) timeFor(n int) time.Duration {
	const lowest = 1 << 10 // where there is no minimum
	rate := m.Octets
	if rate <= 0 {
		rate = lowest
	}
	return time.Duration(float64(n) / float64(rate) * float64(time.Second))
}

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
