package wire

import (
	"bytes"

	"github.com/emersion/go-imap/v2"
)

// readGreeting reads the server's first line (RFC 9051 7.1). The whole line has
// Timeouts.Greeting.
func (c *Conn) readGreeting() error {
	c.in.startCommand(c.options.Timeouts.Greeting, 0)
	c.in.capDeadline(c.options.Timeouts.Greeting)
	line, err := c.in.readLine()
	if err != nil {
		return err
	}
	rest, untagged := bytes.CutPrefix(line, []byte("* "))
	s, ok := parseStatus(rest)
	if !untagged || !ok {
		return protocolError("not an IMAP greeting: %s", c.server.sanitize(string(line)))
	}
	if s.kind != "OK" && s.kind != "PREAUTH" {
		e := c.refusal(status{kind: "NO", code: s.code, args: s.args, text: s.text, line: s.line}, command{onNO: ClassBusy}).(*Error)
		e.Err = &imap.Error{Type: imap.StatusResponseType(s.kind), Code: imap.ResponseCode(e.Code), Text: e.Text}
		return e
	}
	c.handleStatus(s)
	c.authenticated = s.kind == "PREAUTH"
	return nil
}
