package wire

import (
	"context"

	"archiverd/internal/uid"
)

// Search returns the UIDs of all messages of the mailbox that is open (RFC 9051
// 6.4.4, RFC 4731). An incomplete or unreadable answer is an error: callers take a UID
// that is not in the set for gone.
func (c *Conn) Search(ctx context.Context) (uid.Set, error) {
	cmd := command{name: cmdSearch, answerWait: c.options.Timeouts.Answer, onNO: ClassMailbox, onBAD: ClassProtocol}
	return c.search(ctx, cmd, []string{c.searchCommand() + " ALL"})
}

// searchCommand is the beginning of a search command.
func (c *Conn) searchCommand() string {
	if c.HasCapability("ESEARCH") {
		return "UID SEARCH RETURN (ALL)"
	}
	return "UID SEARCH"
}

// search runs one search, sent in parts.
func (c *Conn) search(ctx context.Context, cmd command, parts []string) (uid.Set, error) {
	f := searchResult{octetsLeft: c.options.Limits.Search}
	var set uid.Set
	err := c.exclusive(ctx, cmd, func() error {
		c.in.allowLongSearch = true
		defer func() { c.in.allowLongSearch = false }()
		answer, err := c.exchangeParts(parts, f.handleUntagged)
		if err == nil {
			set, err = c.searchedUIDs(&f, answer, cmd)
		}
		return err
	})
	return set, err
}

// searchedUIDs returns what a search found. It is an error if the answer is a refusal,
// covers only some messages, or came without a result.
func (c *Conn) searchedUIDs(f *searchResult, answer status, cmd command) (uid.Set, error) {
	err := c.checkComplete(answer, cmd)
	if err == nil && !f.received {
		err = protocolError("server said OK without a search result")
	}
	if err != nil {
		return uid.Set{}, err
	}
	return f.set(), nil
}

// checkComplete returns the error for NO and BAD, and for an OK that covers only some
// of the messages (MESSAGELIMIT, RFC 9738).
func (c *Conn) checkComplete(s status, cmd command) error {
	if err := c.refusal(s, cmd); err != nil {
		return err
	}
	if s.code == "MESSAGELIMIT" {
		return protocolError("server leaves out messages beyond its limit [MESSAGELIMIT %s]", c.server.sanitize(s.args))
	}
	return nil
}
