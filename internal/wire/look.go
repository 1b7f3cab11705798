package wire

import (
	"context"

	"archiverd/internal/uid"
)

// OpenQuery says what to learn of a mailbox in one flight.
type OpenQuery struct {
	Wire      string          // the mailbox, as listed
	CondStore bool            // opened with CONDSTORE, where that is announced
	Search    bool            // for the UIDs of all its messages
	Metadata  []MetadataQuery // about messages
}

// Opened is what came back.
type Opened struct {
	Examined
	UIDs        uid.Set // of all messages, if they were searched for
	AllAnswered bool    // every query of Meta was sent, and answered with OK
}

// Open opens a mailbox for reading as Examine does, searches it and asks for
// metadata as Search and Meta do, all in one write: the line's round trip is waited
// for once. One goroutine reads all the answers as they come, so none blocks another.
//
// fn is given what is said of messages once the mailbox is open. Whether that is
// the mailbox that the queries were meant for, UIDVALIDITY tells only in the end.
// A query that the server refuses is no error: what is missing, Meta asks for.
func (c *Conn) Open(ctx context.Context, l OpenQuery, fn func(Metadata) error) (Opened, error) {
	cmd := command{name: cmdExamine, wait: c.opt.Timeouts.Answer, no: ClassMailbox, bad: ClassMailbox}
	line, err := c.openLine(cmd, l.Wire, l.CondStore)
	if err != nil {
		return Opened{}, err
	}
	lines := []string{line}
	if l.Search {
		lines = append(lines, c.searchHead()+" ALL")
	}
	first, most, sent := len(lines), 0, true // of the queries
	for _, q := range l.Metadata {
		for _, line := range c.lines(q) {
			if len(lines) == flightLines {
				sent = false
				break
			}
			lines = append(lines, line)
		}
		most += q.Set.Len()
	}
	var opened Selected
	found := finder{room: c.opt.Limits.Search}
	looked := Opened{AllAnswered: sent}
	err = c.exclusive(ctx, cmd, func() error {
		c.in.search = l.Search
		defer func() { c.in.search = false }()
		t := c.talk(len(lines), min(most, mostReplies), nil, nil)
		t.fn = func(u untagged) (bool, error) {
			switch {
			case t.answers[0].kind == "": // all but what the opening tells is of the mailbox before
				return opened.reply(u)
			case l.Search && (u.is("SEARCH") || u.is("ESEARCH")):
				return found.reply(u)
			}
			return metaReply(u, fn)
		}
		if err := t.send(lines); err != nil {
			return err
		}
		if err := c.refusal(t.answers[0], cmd); err != nil {
			return err
		}
		opened.ReadOnly, c.readOnly = t.answers[0].code == "READ-ONLY", true
		if l.Search {
			cmd := command{name: cmdSearch, no: ClassMailbox, bad: ClassProtocol}
			if looked.UIDs, err = c.searched(&found, t.answers[1], cmd); err != nil {
				return c.explain(cmd, err)
			}
		}
		for _, s := range t.answers[first:] {
			cmd := command{name: cmdFetch, no: ClassMessage, bad: ClassMessage}
			err := c.refusal(s, cmd)
			switch Classify(err) {
			case ClassBusy, ClassThrottled, ClassLogin: // of the server, not of the query
				return c.explain(cmd, err)
			}
			looked.AllAnswered = looked.AllAnswered && err == nil
		}
		looked.Examined = opened.Examined
		return nil
	})
	if err != nil {
		return Opened{}, err
	}
	return looked, nil
}

// flightLines is how many commands are sent in one write, with sets of maxSet
// octets: few enough that they fit into the server's buffer while it answers.
const flightLines = 8
