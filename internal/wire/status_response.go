package wire

import (
	"bytes"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
)

// byeTimeout is how long a server may take to finish after it said BYE.
const byeTimeout = 2 * time.Second

// status is a status response: OK, NO, BAD, BYE or PREAUTH, with a response code
// and text (RFC 9051 7.1). code and kind are in upper case. line is what code, args and
// text were cut out of.
type status struct{ kind, code, args, text, line string }

// parseStatus reads "OK [CODE args] text". ok is false for anything else.
func parseStatus(line []byte) (s status, ok bool) {
	kind, rest, _ := bytes.Cut(line, []byte{' '})
	switch s.kind = strings.ToUpper(string(kind)); s.kind {
	case "OK", "NO", "BAD", "BYE", "PREAUTH":
	default:
		return status{}, false
	}
	rest = bytes.TrimLeft(rest, " ")
	s.line = string(rest)
	if len(rest) > 0 && rest[0] == '[' {
		if code, text, closed := bytes.Cut(rest[1:], []byte{']'}); closed {
			name, args, _ := strings.Cut(string(code), " ")
			s.code, s.args, rest = strings.ToUpper(name), strings.TrimSpace(args), bytes.TrimLeft(text, " ")
		}
	}
	s.text = string(rest)
	return s, true
}

// handleStatus stores what any status response may carry: capabilities, an ALERT,
// BYE. After BYE the server has byeTimeout to finish.
func (c *Conn) handleStatus(s status) {
	switch s.code {
	case "CAPABILITY":
		c.server.setCapabilities(s.args)
	case "ALERT":
		c.server.addAlert(s)
	}
	if s.kind == "BYE" {
		c.server.setBye(s)
		c.in.capDeadline(byeTimeout)
	}
}

// refusal is the error for a command that the server answered with NO or BAD, nil
// for OK.
func (c *Conn) refusal(s status, cmd command) error {
	var fallback Class
	switch s.kind {
	case "OK":
		return nil
	case "NO":
		fallback = cmd.onNO
	case "BAD":
		fallback = cmd.onBAD
	default:
		return protocolError("command answered with %s", s.kind)
	}
	code, text := c.server.words(s)
	return &Error{
		Class: classifyStatus(s, cmd.name, fallback), Retry: statedBackoff(s.text), Code: code, Text: text,
		Err: &imap.Error{Type: imap.StatusResponseType(s.kind), Code: imap.ResponseCode(code), Text: text},
	}
}
