package restore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"archiverd/internal/session"
	"archiverd/internal/wire"
)

// fallback is a poorer form of a message, without something that a server may refuse.
type fallback struct {
	flags   []string
	date    time.Time
	crlf    bool   // each bare LF is sent as CRLF
	without string // for people
}

// retryRefused sends the fallbacks of a message that the server has refused, until
// one is accepted. If none is, the item is refused. It returns a refusal that is
// not for the message itself.
func (r *run) retryRefused(ctx context.Context, s *session.Session, m *mailboxRestore, p pendingAppend, cause error) error {
	var e *wire.Error
	if !errors.As(cause, &e) {
		return cause
	}
	switch {
	case e.Code == "OVERQUOTA" || strings.Contains(strings.ToLower(e.Text), "over quota"): // Cyrus sends no code
		r.quotaFull.Store(true)
		return nil
	case e.Code == "TRYCREATE" || e.Code == "NONEXISTENT":
		return fmt.Errorf("mailbox %s is gone while it is being restored: %w", m.dest.Name, cause)
	case e.Class == wire.ClassBusy || e.Class == wire.ClassThrottled:
		return cause
	}
	for _, f := range m.fallbacks(p) {
		q := p
		q.msg.Flags, q.msg.Date, q.crlf = f.flags, f.date, f.crlf
		results, err := r.appendGroup(ctx, s, m, []pendingAppend{q})
		if err != nil {
			return err
		}
		if results[0].State == wire.AppendDone {
			m.reduced[p.index] = true
			m.addProblem(p.index, true, fmt.Sprintf("the server refused it with %s, and got it without: %v", f.without, cause))
			return nil
		}
	}
	r.refuse(m, p.index, cause.Error())
	return nil
}

// fallbacks returns the poorer forms of a message, the least poor first. A message
// without a keyword, or with the line ends of RFC 5322, is better than none. A
// large message is more likely refused for its octets than for its flags, and is
// not sent again for those.
func (m *mailboxRestore) fallbacks(p pendingAppend) []fallback {
	var list []fallback
	if m.traits[p.index].BareLF > 0 {
		list = append(list, fallback{flags: p.msg.Flags, date: p.msg.Date, crlf: true, without: "LF without CR"})
	}
	if p.msg.Size > maxGroupOctets {
		return list
	}
	system := slices.DeleteFunc(slices.Clone(p.msg.Flags), func(f string) bool { return f[0] != '\\' })
	if len(system) < len(p.msg.Flags) {
		list = append(list, fallback{flags: system, date: p.msg.Date, without: "its keywords (" + strings.Join(p.msg.Flags, " ") + ")"})
	}
	if len(p.msg.Flags) > 0 || !p.msg.Date.IsZero() {
		list = append(list, fallback{without: "its flags and date"})
	}
	return list
}

// crlfReader reads from r and adds a CR before each LF that has none.
type crlfReader struct {
	r     *bufio.Reader
	last  byte
	hasLF bool // an LF whose CR has been returned
}

func (c *crlfReader) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if c.hasLF {
			p[n], c.last, c.hasLF = '\n', '\n', false
			n++
			continue
		}
		o, err := c.r.ReadByte()
		if err != nil {
			return n, err
		}
		if c.hasLF = o == '\n' && c.last != '\r'; c.hasLF {
			o = '\r'
		}
		p[n], c.last = o, o
		n++
	}
	return n, nil
}
