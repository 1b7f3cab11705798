package sync

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"archiverd/internal/session"
	"archiverd/internal/testing/dovecot"
	"archiverd/internal/testing/world"
	"archiverd/internal/wire"
)

// at is the account of a user of a real server.
func at(srv *dovecot.Server, user, password string) session.Account {
	acc := world.Alice(srv.PlainAddr)
	acc.Auth = func(context.Context) (wire.Auth, error) {
		return wire.Auth{Username: user, Password: []byte(password)}, nil
	}
	return acc
}

// TestSizesAtDovecot: a real server announces what it sends, also of mail with bare LFs,
// NULs, empty and headerless mail: nothing awaits anything, and nothing is asked for again.
func TestSizesAtDovecot(t *testing.T) {
	for _, format := range []string{"mdbox", "maildir"} {
		t.Run(format, func(t *testing.T) {
			srv := dovecot.StartWith(t, dovecot.Options{Format: format})
			user := srv.User(t, "alice")
			client := user.Dial(t)
			msgs := letters(40)
			for i, body := range []string{"A: b\n\nbare\nlines\n", "A: b\r\n\r\n", "no header\r\n", "\r\nno header\r\n", "A: b\r\n\r\nno end", "A: " + strings.Repeat("x", 70_000) + "\r\n\r\n.\r\n"} {
				msgs = append(msgs, dovecot.Msg{Date: day(i), Body: []byte(body)})
			}
			client.Append("INBOX", msgs...)
			h := newDatedTestbed(t)
			acc := at(srv, user.Name, user.Password)
			for day := range 3 {
				h.SetClock(time.Date(2030, 1, 1+day, 12, 0, 0, 0, time.UTC))
				run, err := h.runWith(t.Context(), &Job{Account: acc, Policy: h.policy, Committer: h.Committer, Log: h.Log, Now: h.Now})
				if err != nil {
					t.Fatal(err)
				}
				l := of(t, run, "INBOX")
				if !run.OK() || l.Archived != len(msgs) || l.Awaiting != 0 || l.Again != 0 || day > 0 && l.Octets != 0 {
					t.Errorf("day %d: %+v", day, l)
				}
			}
		})
	}
}

// TestWrongCachedSizeAtDovecot: Dovecot believes the size that a Maildir's file name has. Of
// such a message it announces, and perhaps sends, another number of octets: that message
// fails, with its reason, and all others are archived.
func TestWrongCachedSizeAtDovecot(t *testing.T) {
	size := regexp.MustCompile(`,S=(\d+),W=(\d+)`)
	for _, more := range []int{-7, 50} {
		t.Run(fmt.Sprint(more), func(t *testing.T) {
			srv := dovecot.StartWith(t, dovecot.Options{Format: "maildir"})
			user := srv.User(t, "alice")
			client := user.Dial(t)
			client.Append("INBOX", letters(9)...)
			client.Close()
			renamed := 0
			err := filepath.WalkDir(srv.Path(""), func(p string, d fs.DirEntry, err error) error {
				switch {
				case err != nil:
					return err
				case strings.HasPrefix(d.Name(), "dovecot.index"):
					return os.Remove(p) // its cache knows the sizes
				case renamed == 0 && size.MatchString(d.Name()):
					renamed++
					var s, w int
					if _, err := fmt.Sscanf(size.FindString(d.Name()), ",S=%d,W=%d", &s, &w); err != nil {
						return err
					}
					return os.Rename(p, filepath.Join(filepath.Dir(p), size.ReplaceAllString(d.Name(), fmt.Sprintf(",S=%d,W=%d", s+more, w+more))))
				}
				return nil
			})
			if err != nil || renamed != 1 {
				t.Fatal(renamed, err)
			}
			h := newTestbed(t)
			acc := at(srv, user.Name, user.Password)
			run, err := h.run(acc)
			if err != nil {
				t.Fatal(err)
			}
			l := of(t, run, "INBOX")
			t.Logf("failures %v, error %q", l.Failures, l.Error)
			if l.Server != 9 || l.Archived+l.Failed != 9 || l.Archived < 8 || l.Awaiting != 0 {
				t.Errorf("%+v", l)
			}
			run, err = h.run(acc) // Dovecot has mended its size, or says the same again
			if l := of(t, run, "INBOX"); err != nil || l.Archived < 8 || l.Archived+l.Failed != 9 {
				t.Errorf("%+v, %v", l, err)
			}
			t.Logf("then %+v", of(t, run, "INBOX"))
		})
	}
}
