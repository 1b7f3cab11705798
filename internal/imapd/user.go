package imapd

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/emersion/go-imap/v2"

	"archiverd/internal/pattern"
)

const inbox = pattern.Inbox

// Errors of a User's methods. Clients receive their response code of RFC 5530.
var (
	// ErrNotFound is returned when there is no such mailbox.
	ErrNotFound = &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeNonExistent, Text: "No such mailbox"}
	// ErrExists is returned when a mailbox of that name exists.
	ErrExists = &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeAlreadyExists, Text: "Mailbox exists"}
	// ErrName is returned when a name is not valid for a mailbox.
	ErrName = &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeCannot, Text: "No name for a mailbox"}
	// ErrChildren is returned when a mailbox with children is to be deleted.
	ErrChildren = &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeHasChildren, Text: "Mailbox has children"}
)

// User has a password and mailboxes. Server.AddUser makes it. Its methods may be
// called from several goroutines. Mailbox names are UTF-8; INBOX is compared without case.
type User struct {
	server   *Server
	password string

	mu        sync.Mutex          // guards mailboxes; locked before a Mailbox's mu
	mailboxes map[string]*Mailbox // by canonical name
}

// Create makes an empty mailbox, and those above it that are missing (RFC 9051
// 6.3.4). The attributes are those that LIST returns: special uses (RFC 6154) and
// \Noselect. LIST adds \HasChildren and \HasNoChildren itself.
func (u *User) Create(name string, attrs ...imap.MailboxAttr) (*Mailbox, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	name, err := u.canonical(name)
	if err == nil && u.mailboxes[name] != nil {
		err = ErrExists
	}
	if err != nil {
		return nil, fmt.Errorf("create %q: %w", name, err)
	}
	u.createAbove(name)
	m := newMailbox(u.server, attrs...)
	u.mailboxes[name] = m
	return m, nil
}

// Mailbox returns the mailbox of that name.
func (u *User) Mailbox(name string) (*Mailbox, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	name, err := u.canonical(name)
	if err == nil && u.mailboxes[name] == nil {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("find %q: %w", name, err)
	}
	return u.mailboxes[name], nil
}

// Names returns the names of all mailboxes, sorted.
func (u *User) Names() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Sorted(maps.Keys(u.mailboxes))
}

// Delete removes a mailbox without children and its messages (RFC 9051 6.3.5).
// Sessions that have it selected end with BYE. INBOX can't be deleted.
func (u *User) Delete(name string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	name, err := u.canonical(name)
	switch {
	case err != nil:
	case u.mailboxes[name] == nil:
		err = ErrNotFound
	case name == inbox:
		err = ErrName
	case len(u.below(name)) > 0:
		err = ErrChildren
	}
	if err != nil {
		return fmt.Errorf("delete %q: %w", name, err)
	}
	u.mailboxes[name].drop()
	delete(u.mailboxes, name)
	return nil
}

// Rename gives a mailbox and its children another name; UIDs and UIDVALIDITY do not
// change. Renaming INBOX moves its messages: an empty INBOX and its children remain (RFC
// 9051 6.3.6).
func (u *User) Rename(name, to string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	name, err := u.canonical(name)
	if err == nil {
		to, err = u.canonical(to)
	}
	switch {
	case err != nil:
	case u.mailboxes[name] == nil:
		err = ErrNotFound
	case u.mailboxes[to] != nil:
		err = ErrExists
	case strings.HasPrefix(to, name+string(u.server.options.Delimiter)):
		err = ErrName
	}
	if err != nil {
		return fmt.Errorf("rename %q to %q: %w", name, to, err)
	}
	moved := append(u.below(name), name)
	if name == inbox {
		moved = []string{inbox}
	}
	for _, old := range moved {
		u.mailboxes[to+strings.TrimPrefix(old, name)] = u.mailboxes[old]
		delete(u.mailboxes, old)
	}
	if name == inbox {
		u.mailboxes[inbox] = newMailbox(u.server)
	}
	u.createAbove(to)
	return nil
}

// canonical returns the name as a key of mailboxes. The error is ErrName.
func (u *User) canonical(name string) (string, error) {
	if pattern.IsInbox(name) {
		return inbox, nil
	}
	delimiter := string(u.server.options.Delimiter)
	name = strings.TrimSuffix(name, delimiter) // RFC 9051 6.3.4: it declares that the mailbox will have children
	if slices.Contains(strings.Split(name, delimiter), "") {
		return name, ErrName
	}
	return name, nil
}

// createAbove makes the mailboxes that are missing above name. u.mu is locked.
func (u *User) createAbove(name string) {
	delimiter := string(u.server.options.Delimiter)
	for {
		i := strings.LastIndex(name, delimiter)
		if i < 0 {
			return
		}
		name = name[:i]
		if u.mailboxes[name] == nil {
			u.mailboxes[name] = newMailbox(u.server)
		}
	}
}

// below returns the names of all mailboxes below a mailbox. u.mu is locked.
func (u *User) below(name string) []string {
	var names []string
	for n := range u.mailboxes {
		if strings.HasPrefix(n, name+string(u.server.options.Delimiter)) {
			names = append(names, n)
		}
	}
	return names
}

// tryCreate returns the reply for ErrNotFound that has a client CREATE the mailbox and
// send its command again (RFC 9051 6.3.12, 6.4.7). Other errors are returned as they are.
func tryCreate(err error) error {
	if errors.Is(err, ErrNotFound) {
		return &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeTryCreate, Text: ErrNotFound.Text}
	}
	return err
}
