package wire

import (
	"bytes"
	"strings"
	"time"

	"archiverd/internal/safetext"

	"github.com/emersion/go-imap/v2"
)

const (
	maxTextOctets = 300 // octets of a server's text in an error
	maxAlerts     = 16  // alerts kept of one connection
	byeTimeout    = 2 * time.Second
)

// status is what a server says of itself or of a command: OK, NO, BAD, BYE or
// PREAUTH, with a response code and text (RFC 9051 7.1). Code and kind are upper case.
type status struct{ kind, code, args, text string }

// parseStatus reads "OK [CODE args] text". ok is false for anything else.
func parseStatus(line []byte) (s status, ok bool) {
	kind, rest, _ := bytes.Cut(line, []byte{' '})
	switch s.kind = strings.ToUpper(string(kind)); s.kind {
	case "OK", "NO", "BAD", "BYE", "PREAUTH":
	default:
		return status{}, false
	}
	rest = bytes.TrimLeft(rest, " ")
	if len(rest) > 0 && rest[0] == '[' {
		if code, text, closed := bytes.Cut(rest[1:], []byte{']'}); closed {
			name, args, _ := strings.Cut(string(code), " ")
			s.code, s.args, rest = strings.ToUpper(name), strings.TrimSpace(args), bytes.TrimLeft(text, " ")
		}
	}
	s.text = string(rest)
	return s, true
}

// handleStatus keeps what any status line may tell: capabilities, an alert, a farewell.
func (c *Conn) handleStatus(s status) {
	switch s.code {
	case "CAPABILITY":
		c.setCapabilities(s.args)
	case "ALERT":
		c.mu.Lock()
		if text := c.cleanLocked(s.text); len(c.alerts) < maxAlerts && text != "" {
			c.alerts = append(c.alerts, text)
		}
		c.mu.Unlock()
	}
	if s.kind == "BYE" {
		c.mu.Lock()
		c.bye = &s
		c.mu.Unlock()
		c.in.capDeadline(byeTimeout)
	}
}

// refusal is the error for a command that the server answered with NO or BAD,
// nil for OK.
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
	text, code := c.sanitize(s.text), c.sanitize(s.code)
	return &Error{
		Class: classifyStatus(s, cmd.name, fallback), Retry: statedBackoff(s.text), Code: code, Text: text,
		Err: &imap.Error{Type: imap.StatusResponseType(s.kind), Code: imap.ResponseCode(code), Text: text},
	}
}

// parseCapabilities reads a capability list, in upper case.
func parseCapabilities(list string) map[string]bool {
	caps := make(map[string]bool)
	for _, name := range strings.Fields(strings.ToUpper(list)) {
		if len(caps) < 1000 && isPlainAtom(name) {
			caps[name] = true
		}
	}
	return caps
}

// setCapabilities keeps a capability list. IMAP4rev2 is not kept: go-imap would
// send raw UTF-8 names without having enabled them.
func (c *Conn) setCapabilities(list string) {
	caps := parseCapabilities(list)
	delete(caps, "IMAP4REV2")
	c.mu.Lock()
	c.caps = caps
	c.mu.Unlock()
}

// isPlainAtom says whether text can be handed to go-imap as an atom: visible ASCII
// without the specials of RFC 9051 9.
func isPlainAtom(text string) bool {
	for i := range len(text) {
		if b := text[i]; b <= ' ' || b >= 0x7f || strings.IndexByte(`(){%*"\]`, b) >= 0 {
			return false
		}
	}
	return text != ""
}

// HasCapability says whether the server announced the capability, in any case.
func (c *Conn) HasCapability(capability string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.caps[strings.ToUpper(capability)]
}

// Alerts returns the server's ALERT texts, safe to print: the user must see
// them (RFC 9051 7.1).
func (c *Conn) Alerts() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.alerts...)
}

// sanitize makes server text fit for an error: no secret, one safe line, at most 300 octets.
func (c *Conn) sanitize(text string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cleanLocked(text)
}

func (c *Conn) cleanLocked(text string) string {
	for _, secret := range c.secrets {
		text = strings.ReplaceAll(text, secret, "***")
	}
	if len(text) > 2*maxTextOctets {
		text = text[:2*maxTextOctets]
	}
	text = safetext.Line(text)
	if len(text) > maxTextOctets {
		text = strings.ToValidUTF8(text[:maxTextOctets-len("…")], "") + "…"
	}
	return text
}
