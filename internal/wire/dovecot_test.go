package wire

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"slices"
	"testing"

	"archiverd/internal/testing/dovecot"
	"archiverd/internal/uid"
)

// The client reads from Dovecot the mailboxes, UIDs, flags, dates and octets that a second,
// simpler client reads there.
func TestReadDovecot(t *testing.T) {
	server := dovecot.Start(t)
	user := server.User(t, "wire")
	corpus := append(dovecot.Corpus(1, 400), dovecot.Mailbox{Name: "Ünter & über"})
	witness := user.Dial(t)
	witness.Load(corpus)
	for security, address := range map[Security]string{TLS: server.Addr, StartTLS: server.PlainAddr} {
		c := dialAndLogin(t, Options{Address: address, Security: security, TLS: server.TLS}, user.Name, user.Password)
		list, err := c.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range corpus {
			i := slices.IndexFunc(list, func(l Mailbox) bool { return l.Name == m.Name })
			if i < 0 || list[i].Raw || list[i].Status == nil {
				t.Fatalf("mailbox %q is not in %+v", m.Name, list)
			}
			compareMailbox(t, c, list[i], witness.Read(m.Name))
		}
		if err := c.Logout(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// compareMailbox reads all of a mailbox and compares it with the messages want.
func compareMailbox(t *testing.T, c *Conn, m Mailbox, want []dovecot.Msg) {
	t.Helper()
	e, err := c.Examine(t.Context(), m.Wire, true)
	if err != nil || !e.ReadOnly || e.HighestModSeq == 0 || e.Status.UIDValidity != m.Status.UIDValidity || int(m.Status.Messages) != len(want) {
		t.Errorf("%s: %+v, %+v, %v", m.Name, e, m.Status, err)
	}
	var all uid.Set
	for _, w := range want {
		all.Add(w.UID)
	}
	set, err := c.Search(t.Context())
	if err != nil || set.String() != all.String() {
		t.Errorf("%s: UIDs %q, want %q, %v", m.Name, set, all, err)
	}
	metadata, sums, err := fetchAll(t.Context(), c, set)
	if err != nil {
		t.Error(err)
	}
	for _, w := range want {
		got := metadata[w.UID]
		if !slices.Equal(got.Flags, w.Flags) || !got.InternalDate.Equal(w.Date) || got.Size != w.Size || got.Problem != "" {
			t.Errorf("%s UID %d: %+v, want %v %v %d", m.Name, w.UID, got, w.Flags, w.Date, w.Size)
		}
		if sums[w.UID] != w.SHA256 {
			t.Errorf("%s UID %d: other octets", m.Name, w.UID)
		}
	}
}

// fetchAll returns the metadata and the hashes of the bodies of set, by UID.
func fetchAll(ctx context.Context, c *Conn, set uid.Set) (map[uint32]Metadata, map[uint32][sha256.Size]byte, error) {
	metadata := make(map[uint32]Metadata)
	metadataErr := c.FetchMetadata(ctx, MetadataQuery{Set: set}, func(m Metadata) error { metadata[m.UID] = m; return nil })
	sums := make(map[uint32][sha256.Size]byte)
	bodiesErr := c.FetchBodies(ctx, set, func(u uint32, _ int64, r io.Reader) error {
		h := sha256.New()
		_, err := io.Copy(h, r)
		sums[u] = [sha256.Size]byte(h.Sum(nil))
		return err
	})
	return metadata, sums, errors.Join(metadataErr, bodiesErr)
}
