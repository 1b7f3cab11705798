package wire

import (
	"context"
	"slices"
)

// Examined is what EXAMINE tells of the mailbox it opens.
type Examined struct {
	Status
	ReadOnly     bool // the server confirms that nothing can be changed
	UIDNotSticky bool // UIDs do not outlive the session (RFC 9051 7.1, UIDNOTSTICKY)
	NoModSeq     bool // no MODSEQ here (RFC 7162 3.1.2.2)
}

// Examine opens a mailbox for reading (RFC 9051 6.3.3), with CONDSTORE if wanted
// and announced. UIDValidity 0 means that the server did not tell it.
func (c *Conn) Examine(ctx context.Context, wireName string, condstore bool) (Examined, error) {
	cmd := command{name: cmdExamine, wait: c.opt.Timeouts.Answer, no: ClassMailbox, bad: ClassMailbox}
	name, ok := quote(wireName)
	if !ok {
		return Examined{}, c.explain(cmd, errUnsendable)
	}
	line := "EXAMINE " + name
	if condstore && c.Has("CONDSTORE") {
		line += " (CONDSTORE)"
	}
	var e Examined
	answer, err := c.run(ctx, cmd, line, func(u untagged) (bool, error) {
		if u.is("EXISTS") {
			e.Messages = u.number
			return true, nil
		}
		if s, ok := parseStatus(append(slices.Clip(u.name), u.rest...)); ok {
			e.note(s)
			return s.code != "", nil
		}
		return u.is("FLAGS") || u.is("RECENT"), nil
	})
	if err != nil {
		return Examined{}, err
	}
	e.ReadOnly = answer.code == "READ-ONLY"
	return e, nil
}

// note takes what a status line tells of the mailbox. A number that can't be
// read counts as not told.
func (e *Examined) note(s status) {
	n, _ := number([]byte(s.args))
	small := uint32(0)
	if n < 1<<32 {
		small = uint32(n)
	}
	switch s.code {
	case "CLOSED": // what came before was of the mailbox before (RFC 7162 3.2.11)
		*e = Examined{}
	case "UIDVALIDITY":
		e.UIDValidity = small
	case "UIDNEXT":
		e.UIDNext = small
	case "HIGHESTMODSEQ":
		e.HighestModSeq = n
	case "NOMODSEQ":
		e.NoModSeq = true
	case "UIDNOTSTICKY":
		e.UIDNotSticky = true
	}
}
