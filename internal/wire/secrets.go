package wire

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"

	"archiverd/internal/safetext"
)

// maxTextOctets bounds a server's text in an error.
const maxTextOctets = 300

// hideSecrets stores the forms in which the server could send the password back.
func (c *Conn) hideSecrets(a Auth) {
	password := string(a.Password)
	if password == "" {
		return
	}
	quoted, _ := quote(password)
	secrets := []string{
		password, strings.Trim(quoted, `"`), url.QueryEscape(password), url.PathEscape(password),
	}
	for _, plain := range []string{password, "\x00" + a.Username + "\x00" + password, a.Username + "\x00" + a.Username + "\x00" + password} {
		secrets = append(secrets, base64.StdEncoding.EncodeToString([]byte(plain)), base64.RawStdEncoding.EncodeToString([]byte(plain)))
	}
	secrets = slices.DeleteFunc(secrets, func(s string) bool { return s == "" })
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	c.server.setSecrets(secrets)
}

func (s *serverState) setSecrets(secrets []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets = secrets
}

// sanitize makes server text fit for an error: without secrets, one safe line, at
// most maxTextOctets.
func (s *serverState) sanitize(text string) string {
	s.mu.Lock()
	secrets := s.secrets // replaced as a whole, never changed
	s.mu.Unlock()
	for _, secret := range secrets {
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
