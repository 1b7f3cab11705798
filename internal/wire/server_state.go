package wire

import (
	"slices"
	"strings"
	"sync"

	"archiverd/internal/redact"
)

// maxAlerts is how many ALERT texts of one connection are kept.
const maxAlerts = 16

// serverState is what the server has said of itself, and what must never be
// printed of what it says.
type serverState struct {
	mu           sync.Mutex
	capabilities map[string]bool  // in upper case; nil: not known
	alerts       []string         // safe to print
	bye          *status          // nil: the server has not said BYE
	redactor     *redact.Redactor // of the password; nil: none is known
}

// setCapabilities stores a capability list. IMAP4rev2 is left out: go-imap would
// send raw UTF-8 names without having enabled them.
func (s *serverState) setCapabilities(list string) {
	capabilities := parseCapabilities(list)
	delete(capabilities, "IMAP4REV2")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.capabilities = capabilities
}

// forgetCapabilities makes the capabilities unknown: they end with the login
// (RFC 9051 6.2.2).
func (s *serverState) forgetCapabilities() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.capabilities = nil
}

// reset forgets all that the server has said (RFC 9051 6.2.1).
func (s *serverState) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.capabilities, s.alerts, s.bye = nil, nil, nil
}

// all returns the capabilities, nil if they are not known. Nobody changes the map.
func (s *serverState) all() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.capabilities
}

func (s *serverState) addAlert(alert status) {
	_, text := s.words(alert)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.alerts) < maxAlerts && text != "" {
		s.alerts = append(s.alerts, text)
	}
}

func (s *serverState) setBye(bye status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bye = &bye
}

// lastWords returns the server's BYE, nil if there was none, and its last ALERT.
func (s *serverState) lastWords() (bye *status, alert string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.alerts); n > 0 {
		alert = s.alerts[n-1]
	}
	return s.bye, alert
}

// HasCapability says whether the server announced the capability, in any case.
func (c *Conn) HasCapability(capability string) bool {
	return c.server.all()[strings.ToUpper(capability)]
}

// Alerts returns the server's ALERT texts, safe to print. The user must see them
// (RFC 9051 7.1).
func (c *Conn) Alerts() []string {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	return slices.Clone(c.server.alerts)
}
