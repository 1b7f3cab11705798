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
	cmd := command{name: cmdExamine, answerWait: c.options.Timeouts.Answer, onNO: ClassMailbox, onBAD: ClassMailbox}
	line, err := c.openCommand(cmd, l.Wire, l.CondStore)
	if err != nil {
		return Opened{}, err
	}
	lines := []string{line}
	if l.Search {
		lines = append(lines, c.searchCommand()+" ALL")
	}
	first, most, sent := len(lines), 0, true // of the queries
	for _, q := range l.Metadata {
		for _, line := range c.metadataCommands(q) {
			if len(lines) == maxPipelined {
				sent = false
				break
			}
			lines = append(lines, line)
		}
		most += q.Set.Len()
	}
	var opened Selected
	found := searchResult{octetsLeft: c.options.Limits.Search}
	looked := Opened{AllAnswered: sent}
	err = c.exclusive(ctx, cmd, func() error {
		c.in.allowLongSearch = l.Search
		defer func() { c.in.allowLongSearch = false }()
		t := c.newPipeline(len(lines), min(most, maxMetadataReplies), nil, nil)
		t.onUntagged = func(u untagged) (bool, error) {
			switch {
			case t.answers[0].kind == "": // all but what the opening tells is of the mailbox before
				return opened.handleUntagged(u)
			case l.Search && (u.is("SEARCH") || u.is("ESEARCH")):
				return found.handleUntagged(u)
			}
			return handleMetadata(u, fn)
		}
		if err := t.exchange(lines); err != nil {
			return err
		}
		if err := c.refusal(t.answers[0], cmd); err != nil {
			return err
		}
		opened.ReadOnly, c.readOnly = t.answers[0].code == "READ-ONLY", true
		if l.Search {
			cmd := command{name: cmdSearch, onNO: ClassMailbox, onBAD: ClassProtocol}
			if looked.UIDs, err = c.searchedUIDs(&found, t.answers[1], cmd); err != nil {
				return c.annotate(cmd, err)
			}
		}
		for _, s := range t.answers[first:] {
			cmd := command{name: cmdFetch, onNO: ClassMessage, onBAD: ClassMessage}
			err := c.refusal(s, cmd)
			switch Classify(err) {
			case ClassBusy, ClassThrottled, ClassLogin: // of the server, not of the query
				return c.annotate(cmd, err)
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

// maxPipelined is how many commands are sent in one write, with sets of maxSetOctets
// octets: few enough that they fit into the server's buffer while it answers.
const maxPipelined = 8
