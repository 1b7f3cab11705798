package wire

import "context"

// Status returns the status of one mailbox without opening it (RFC 9051 6.3.11).
func (c *Conn) Status(ctx context.Context, wireName string) (Status, error) {
	m := Mailbox{Wire: wireName}
	if err := c.fetchStatuses(ctx, []*Mailbox{&m}); err != nil {
		return Status{}, err
	}
	if m.Status == nil {
		return Status{}, m.StatusErr
	}
	return *m.Status, nil
}

// Create creates a mailbox (RFC 9051 6.3.4). If it exists already, the error's Code is
// ALREADYEXISTS, if the server sends a code.
func (c *Conn) Create(ctx context.Context, wireName string) error {
	return c.mailboxCommand(ctx, cmdCreate, wireName)
}

// Delete removes a mailbox with its messages (RFC 9051 6.3.5). Some servers close the
// connection when the mailbox is the open one.
func (c *Conn) Delete(ctx context.Context, wireName string) error {
	return c.mailboxCommand(ctx, cmdDelete, wireName)
}

// Rename renames a mailbox and those below it (RFC 9051 6.3.6). Renaming INBOX moves its
// messages instead.
func (c *Conn) Rename(ctx context.Context, from, to string) error {
	return c.mailboxCommand(ctx, cmdRename, from, to)
}

// Subscribe adds a mailbox to the user's subscriptions (RFC 9051 6.3.7).
func (c *Conn) Subscribe(ctx context.Context, wireName string) error {
	return c.mailboxCommand(ctx, cmdSubscribe, wireName)
}

// Unsubscribe removes a mailbox from the user's subscriptions (RFC 9051 6.3.8).
func (c *Conn) Unsubscribe(ctx context.Context, wireName string) error {
	return c.mailboxCommand(ctx, cmdUnsubscribe, wireName)
}

// mailboxCommand runs a command whose arguments are mailbox names.
func (c *Conn) mailboxCommand(ctx context.Context, verb string, names ...string) error {
	cmd := command{name: verb, answerWait: c.options.Timeouts.Answer, onNO: ClassMailbox, onBAD: ClassMailbox}
	line := verb
	for _, n := range names {
		name, ok := quote(n)
		if !ok {
			return c.annotate(cmd, errUnsendable)
		}
		line += " " + name
	}
	_, err := c.run(ctx, cmd, line, nil)
	return err
}
