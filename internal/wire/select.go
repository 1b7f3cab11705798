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
	s, err := c.open(ctx, cmdExamine, wireName, condstore)
	return s.Examined, err
}

// Select opens a mailbox for reading and writing (RFC 9051 6.3.2). UIDValidity 0
// means that the server did not tell it.
func (c *Conn) Select(ctx context.Context, wireName string) (Selected, error) {
	return c.open(ctx, cmdSelect, wireName, false)
}

// open is EXAMINE and SELECT.
func (c *Conn) open(ctx context.Context, verb, wireName string, condstore bool) (Selected, error) {
	cmd := command{name: verb, wait: c.opt.Timeouts.Answer, no: ClassMailbox, bad: ClassMailbox}
	line, err := c.openLine(cmd, wireName, condstore)
	if err != nil {
		return Selected{}, err
	}
	var opened Selected
	answer, err := c.run(ctx, cmd, line, opened.reply)
	if err != nil {
		return Selected{}, err
	}
	opened.ReadOnly = answer.code == "READ-ONLY"
	c.readOnly = opened.ReadOnly || verb == cmdExamine
	return opened, nil
}

// openLine is the command that opens a mailbox.
func (c *Conn) openLine(cmd command, wireName string, condstore bool) (string, error) {
	name, ok := quote(wireName)
	if !ok {
		return "", c.explain(cmd, errUnsendable)
	}
	line := cmd.name + " " + name
	if condstore && c.HasCapability("CONDSTORE") {
		line += " (CONDSTORE)"
	}
	return line, nil
}

// reply takes what an untagged reply to the command that opens tells.
func (e *Selected) reply(u untagged) (bool, error) {
	if u.is("EXISTS") {
		e.Messages = u.number
		return true, nil
	}
	if s, ok := parseStatus(append(slices.Clip(u.name), u.rest...)); ok {
		e.note(s)
		return s.code != "", nil
	}
	return u.is("FLAGS") || u.is("RECENT"), nil
}

// note takes what a status line tells of the mailbox. A number that can't be
// read counts as not told.
func (e *Selected) note(s status) {
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
		e.permanent(s.args + "]" + s.text) // a keyword may hold the "]" that seemed to end the code
	}
}

// permanent reads "(\Seen $Junk \*)] text". What is no flag is left out.
func (e *Selected) permanent(rest string) {
	inner, _, closed := strings.Cut(strings.TrimPrefix(rest, "("), ")")
	if !closed {
		return
	}
	flags, _ := parseFlags(value{list, []byte(inner)}) // tolerant: the others count
	e.HasPermanentFlags = true
	e.AllowsNewKeywords = slices.Contains(flags, `\*`)
	e.PermanentFlags = slices.DeleteFunc(flags, func(f string) bool { return !ValidFlag(f) })
}
