package wire

import (
	"context"
	"slices"
	"strings"
)

// Examined is what the server says of a mailbox when EXAMINE opens it.
type Examined struct {
	Status
	ReadOnly     bool // the server confirmed that nothing can be changed
	UIDNotSticky bool // UIDs do not outlive the session (UIDNOTSTICKY, RFC 9051 7.1)
	NoModSeq     bool // the mailbox has no MODSEQ (RFC 7162 3.1.2.2)
}

// Selected is what the server says of a mailbox when SELECT opens it. ReadOnly means
// that the server opened it for reading only.
type Selected struct {
	Examined
	PermanentFlags    []string // flags that can be stored, sorted, without \* (RFC 9051 7.1)
	HasPermanentFlags bool     // PERMANENTFLAGS came; without it all flags can be stored
	AllowsNewKeywords bool     // PERMANENTFLAGS has \*: keywords not in it can be stored too
}

// Examine opens a mailbox for reading (RFC 9051 6.3.3), with CONDSTORE if condstore is
// set and the server announces it. UIDValidity is 0 if the server did not send it.
func (c *Conn) Examine(ctx context.Context, wireName string, condstore bool) (Examined, error) {
	s, err := c.openMailbox(ctx, cmdExamine, wireName, condstore)
	return s.Examined, err
}

// Select opens a mailbox for reading and writing (RFC 9051 6.3.2). UIDValidity is 0 if
// the server did not send it.
func (c *Conn) Select(ctx context.Context, wireName string) (Selected, error) {
	return c.openMailbox(ctx, cmdSelect, wireName, false)
}

// openMailbox sends EXAMINE or SELECT.
func (c *Conn) openMailbox(ctx context.Context, verb, wireName string, condstore bool) (Selected, error) {
	cmd := command{name: verb, answerWait: c.options.Timeouts.Answer, onNO: ClassMailbox, onBAD: ClassMailbox}
	line, err := c.openCommand(cmd, wireName, condstore)
	if err != nil {
		return Selected{}, err
	}
	var opened Selected
	answer, err := c.run(ctx, cmd, line, opened.handleUntagged)
	if err != nil {
		return Selected{}, err
	}
	opened.ReadOnly = answer.code == "READ-ONLY"
	c.readOnly = opened.ReadOnly || verb == cmdExamine
	return opened, nil
}

// openCommand returns the command that opens a mailbox.
func (c *Conn) openCommand(cmd command, wireName string, condstore bool) (string, error) {
	name, ok := quote(wireName)
	if !ok {
		return "", c.annotate(cmd, errUnsendable)
	}
	line := cmd.name + " " + name
	if condstore && c.HasCapability("CONDSTORE") {
		line += " (CONDSTORE)"
	}
	return line, nil
}

// handleUntagged stores what an untagged reply to EXAMINE or SELECT says.
func (e *Selected) handleUntagged(u untagged) (bool, error) {
	if u.is("EXISTS") {
		e.Messages = u.number
		return true, nil
	}
	if s, ok := parseStatus(append(slices.Clip(u.name), u.rest...)); ok {
		e.applyStatus(s)
		return s.code != "", nil
	}
	return u.is("FLAGS") || u.is("RECENT"), nil
}

// applyStatus stores what a status response says of the mailbox. An unreadable number
// counts as not sent.
func (e *Selected) applyStatus(s status) {
	n, _ := number([]byte(s.args))
	small := uint32(0)
	if n < 1<<32 {
		small = uint32(n)
	}
	switch s.code {
	case "CLOSED": // replies so far were of the mailbox that was open before (RFC 7162 3.2.11)
		*e = Selected{}
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
	case "PERMANENTFLAGS":
		e.parsePermanentFlags(s.args + "]" + s.text) // a keyword may hold the "]" that seemed to end the code
	}
}

// parsePermanentFlags reads "(\Seen $Junk \*)] text". Anything that is not a flag is
// left out.
func (e *Selected) parsePermanentFlags(rest string) {
	inner, _, closed := strings.Cut(strings.TrimPrefix(rest, "("), ")")
	if !closed {
		return
	}
	flags, _ := parseFlags(value{list, []byte(inner)}) // tolerant: the others count
	e.HasPermanentFlags = true
	e.AllowsNewKeywords = slices.Contains(flags, `\*`)
	e.PermanentFlags = slices.DeleteFunc(flags, func(f string) bool { return !ValidFlag(f) })
}
