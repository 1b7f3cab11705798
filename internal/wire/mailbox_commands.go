package wire

import "context"

// Status asks for the state of one mailbox without opening it (RFC 9051 6.3.11).
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

// Create makes a mailbox (RFC 9051 6.3.4). The code of the error for one that
// is there already is ALREADYEXISTS, where the server gives one.
func (c *Conn) Create(ctx context.Context, wireName string) error {
	return c.mailboxCommand(ctx, cmdCreate, wireName)
}

// Delete removes a mailbox with its messages (RFC 9051 6.3.5). Of the mailbox that
// is open, some servers take it as the end of the connection.
func (c *Conn) Delete(ctx context.Context, wireName string) error {
	return c.mailboxCommand(ctx, cmdDelete, wireName)
}

// Rename gives a mailbox another name, and those below it with it (RFC 9051 6.3.6).
// Of INBOX it moves the messages.
func (c *Conn) Rename(ctx context.Context, from, to string) error {
	return c.mailboxCommand(ctx, cmdRename, from, to)
}

// Subscribe adds a mailbox to the user's subscriptions (RFC 9051 6.3.7).
func (c *Conn) Subscribe(ctx context.Context, wireName string) error {
	return c.mailboxCommand(ctx, cmdSubscribe, wireName)
}

// Unsubscribe takes a mailbox from the user's subscriptions (RFC 9051 6.3.8).
func (c *Conn) Unsubscribe(ctx context.Context, wireName string) error {
	return c.mailboxCommand(ctx, cmdUnsubscribe, wireName)
}

// mailboxCommand runs a command whose arguments are names of mailboxes.
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
