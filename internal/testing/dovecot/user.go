package dovecot

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// User is an account of a Server.
type User struct {
	Name     string
	Password string

	server *Server
}

// Dial connects over implicit TLS and logs in. The connection closes when the
// test ends.
func (u *User) Dial(t testing.TB) *Client {
	t.Helper()
	return Dial(t, u.server.Server, u.Name, u.Password)
}

// DialPlain is Dial without TLS.
func (u *User) DialPlain(t testing.TB) *Client {
	t.Helper()
	return DialPlain(t, u.server.Server, u.Name, u.Password)
}

// User adds an account with a password of the server's choice.
func (s *Server) User(t testing.TB, name string) *User {
	t.Helper()
	return s.AddUser(t, name, "pass word of "+name)
}

// AddUser adds an account, or changes the password of an existing one, and returns
// when the server accepts it. A name has letters, digits and . - _ @.
func (s *Server) AddUser(t testing.TB, name, password string) *User {
	t.Helper()
	u := &User{Name: name, Password: password, server: s}
	// The password is in Base64, since it may have colons. Each user has a file, since
	// Dovecot checks a file for changes once a second at most.
	line := fmt.Sprintf("%s:{PLAIN.b64}%s:%d:%d::%s::\n", name, base64.StdEncoding.EncodeToString([]byte(password)),
		s.Owner.UID, s.Owner.GID, u.home())
	path := s.Path("users/" + name)
	old, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+":new", []byte(line), 0o644); err != nil {
		t.Fatal(err)
	}
	if old != nil { // Dovecot compares modification times in seconds
		changed := old.ModTime().Add(time.Second)
		if err := os.Chtimes(path+":new", changed, changed); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(path+":new", path); err != nil {
		t.Fatal(err)
	}
	if old != nil {
		u.awaitLogin(t)
	}
	return u
}

// awaitLogin waits until the server accepts the password.
func (u *User) awaitLogin(t testing.TB) {
	t.Helper()
	for end := time.Now().Add(timeout); ; {
		c, err := DialAt(t, u.server.Addr, u.server.TLS, u.Name, u.Password)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the new password of %s: %v", u.Name, err)
		}
	}
}

// home returns the account's directory.
func (u *User) home() string { return u.server.Path("mail/" + u.Name) }

// Store returns the directory of the account's mail, in the server's format.
func (u *User) Store() string { return filepath.Join(u.home(), "mail") }

// Fill copies a directory into the account's mail store, before its first login.
func (u *User) Fill(t testing.TB, dir string) {
	t.Helper()
	if err := os.CopyFS(u.Store(), os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	owner := u.server.Owner
	err := filepath.WalkDir(u.home(), func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if info, err := os.Stat(filepath.Join(dir, strings.TrimPrefix(path, u.Store()))); err == nil {
			if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
				return err
			}
		}
		return os.Chown(path, owner.UID, owner.GID)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// ImportFrom copies all mail of another account into this one with "doveadm
// import", which reads the other's store.
func (u *User) ImportFrom(t testing.TB, from *User, format string) {
	t.Helper()
	cmd := exec.Command("doveadm", "-c", u.server.Path("dovecot.conf"), "import", "-u", u.Name,
		format+":"+from.Store(), "", "ALL")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("doveadm import: %v: %s", err, out)
	}
}

// SetUIDValidity gives a mailbox another UIDVALIDITY, for connections made from now on.
func (u *User) SetUIDValidity(t testing.TB, mailbox string, uidValidity uint32) {
	t.Helper()
	cmd := exec.Command("doveadm", "-c", u.server.Path("dovecot.conf"), "mailbox", "update", "-u", u.Name,
		"--uid-validity", fmt.Sprint(uidValidity), mailbox)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("doveadm mailbox update: %v: %s", err, out)
	}
}
