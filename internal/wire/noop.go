package wire

import "context"

// Noop sends NOOP: an error means that the connection is gone (RFC 9051 6.1.2).
func (c *Conn) Noop(ctx context.Context) error {
	cmd := command{name: cmdNoop, answerWait: c.options.Timeouts.Idle, onNO: ClassTransient, onBAD: ClassProtocol}
	_, err := c.run(ctx, cmd, "NOOP", nil)
	return err
}
