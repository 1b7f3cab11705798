package drill

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"archiverd/archive"
	"archiverd/internal/imapd"
	"archiverd/internal/session"
	"archiverd/internal/testing/world"
	"archiverd/internal/wire"
	"archiverd/sync/restore"
)

// stock is mail as an archive has it, and the drill of it.
type stock struct {
	t     *testing.T
	dir   string
	drill Job
	names map[string][]restore.Item // by mailbox
	made  int                       // throw-away servers
	// meddle is what happens to a throw-away server behind the restore's back,
	// before it is read.
	meddle func(u *imapd.User)
}

func newStock(t *testing.T) *stock {
	t.Helper()
	world.NoLeak(t)
	s := &stock{t: t, dir: world.InMemory(t), names: map[string][]restore.Item{}}
	s.drill = Job{
		Account: "alice", Named: "all", Scratch: s.scratch, Log: slog.New(slog.DiscardHandler),
		Open: func(id string) (*os.File, error) { return os.Open(filepath.Join(s.dir, id)) },
	}
	return s
}

// item makes a file of a message.
func (s *stock) item(body []byte, date time.Time, flags ...string) restore.Item {
	s.t.Helper()
	s.made++
	id := fmt.Sprintf("%06d.eml", s.made)
	if err := os.WriteFile(filepath.Join(s.dir, id), body, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return restore.Item{ID: id, Size: int64(len(body)), Sum: sha256.Sum256(body), InternalDate: date, Flags: flags}
}

// mailbox adds a mailbox to the drill.
func (s *stock) mailbox(name archive.Name, items ...restore.Item) {
	s.names[name.Mailbox] = items
	s.drill.Sources = append(s.drill.Sources, Source{
		Source:   restore.Source{Account: "alice", Name: name, Load: func() ([]restore.Item, error) { return items, nil }},
		Messages: len(items),
	})
}

// scratch is an imapd that is meddled with when it is logged in to the second time.
func (s *stock) scratch(delimiter string) (Server, error) {
	d, _ := utf8.DecodeRuneInString(delimiter)
	cert, err := imapd.SelfSigned()
	if err != nil {
		return Server{}, err
	}
	server := imapd.New(imapd.Options{TLS: cert.Server, Delimiter: d})
	user := server.AddUser("drill", "secret")
	address, err := server.Listen("127.0.0.1:0")
	if err != nil {
		return Server{}, err
	}
	logins := 0
	return Server{Close: server.Close, Account: session.Account{
		Name: "drill", Wire: wire.Options{Address: address, TLS: &tls.Config{RootCAs: cert.Roots, ServerName: "localhost"}},
		Auth: func(context.Context) (wire.Auth, error) {
			if logins++; logins == 2 && s.meddle != nil {
				s.meddle(user)
			}
			return wire.Auth{Username: "drill", Password: []byte("secret")}, nil
		},
	}}, nil
}

// run does the drill, which must end by itself.
func (s *stock) run() Result {
	s.t.Helper()
	d, err := s.drill.Run(s.t.Context())
	if err != nil {
		s.t.Fatalf("%v\n%s", err, showDrill(d))
	}
	if p := s.drill.Progress(); p.Stage != "done" {
		s.t.Errorf("in the end the progress is %+v", p)
	}
	return d
}

// equal does the drill, in which all must be equal.
func (s *stock) equal() Result {
	s.t.Helper()
	d := s.run()
	if !d.OK() || d.Equal != d.Messages || d.Changed != 0 || len(d.Differences) > 0 {
		s.t.Errorf("%d of %d are equal:\n%s", d.Equal, d.Messages, showDrill(d))
	}
	return d
}

func showDrill(d Result) string {
	var b strings.Builder
	for _, x := range d.Differences[:min(len(d.Differences), 20)] {
		fmt.Fprintf(&b, "%s %q %v %v: %s\n", x.ID, x.Mailbox, x.In, x.Changed, x.What)
	}
	for _, n := range d.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	return b.String()
}

func slash(mailbox string) archive.Name { return archive.Name{Mailbox: mailbox, Delimiter: "/"} }

func zoned(minutes int) time.Time {
	return time.Date(2026, 2, 28, 23, 59, 58, 0, time.FixedZone("", 60*minutes))
}

func letterOf(n int) []byte {
	return fmt.Appendf(nil, "From: a@example.org\r\nMessage-ID: <%d@example.org>\r\nSubject: number %d\r\n\r\nHello %d.\r\n", n, n, n)
}

// box is a mailbox of a throw-away server.
func (s *stock) box(u *imapd.User, name string) *imapd.Mailbox {
	s.t.Helper()
	m, err := u.Mailbox(name)
	if err != nil {
		s.t.Error(err)
		m, _ = u.Mailbox("INBOX")
	}
	return m
}

// of finds the message with those octets.
func (s *stock) of(m *imapd.Mailbox, body []byte) imapd.Message {
	s.t.Helper()
	for _, msg := range m.Messages() {
		octets, err := io.ReadAll(msg.Reader())
		if err != nil {
			s.t.Error(err)
		}
		if slices.Equal(octets, body) {
			return msg
		}
	}
	s.t.Errorf("%.80q is not there", body)
	return imapd.Message{}
}
