package wire

import (
	"context"
	"slices"
	"strings"
)

// Examined is what EXAMINE tells of the mailbox it opens.
type Examined struct {
	Status
	ReadOnly     bool // the server confirms that nothing can be changed
	UIDNotSticky bool // UIDs do not outlive the session (RFC 9051 7.1, UIDNOTSTICKY)
	NoModSeq     bool // no MODSEQ here (RFC 7162 3.1.2.2)
}

// Selected is what SELECT tells of the mailbox it opens. ReadOnly: the server
// gave only that.
type Selected struct {
	Examined
	PermanentFlags    []string // flags that can be kept, sorted, without \*; if not Told: all can (RFC 9051 7.1)
	HasPermanentFlags bool     // PERMANENTFLAGS came
	AllowsNewKeywords bool     // PERMANENTFLAGS has \*: keywords that are not in it can be kept too
}

// Examine opens a mailbox for reading (RFC 9051 6.3.3), with CONDSTORE if wanted
// and announced. UIDValidity 0 means that the server did not tell it.
func (c *Conn) Examine(ctx context.Context, wireName string, condstore bool) (Examined, error) {
	s, err := c.openMailbox(ctx, cmdExamine, wireName, condstore)
	return s.Examined, err
}

// Select opens a mailbox for reading and writing (RFC 9051 6.3.2). UIDValidity 0
// means that the server did not tell it.
func (c *Conn) Select(ctx context.Context, wireName string) (Selected, error) {
	return c.openMailbox(ctx, cmdSelect, wireName, false)
}

// openMailbox is EXAMINE and SELECT.
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

// openCommand is the command that opens a mailbox.
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

// handleUntagged takes what an untagged reply to the command that opens tells.
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

// applyStatus takes what a status line tells of the mailbox. A number that can't be
// read counts as not told.
func (e *Selected) applyStatus(s status) {
	n, _ := number([]byte(s.args))
	small := uint32(0)
	if n < 1<<32 {
		small = uint32(n)
	}
	switch s.code {
	case "CLOSED": // what came before was of the mailbox before (RFC 7162 3.2.11)
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

// parsePermanentFlags reads "(\Seen $Junk \*)] text". What is no flag is left out.
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
