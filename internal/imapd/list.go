package imapd

import (
	"errors"
	"slices"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"archiverd/internal/pattern"
)

// Create handles CREATE (RFC 9051 6.3.4, RFC 6154 3).
func (s *session) Create(name string, o *imap.CreateOptions) error {
	_, err := s.user.Create(name, o.SpecialUse...)
	return err
}

// Delete handles DELETE.
func (s *session) Delete(name string) error { return s.user.Delete(name) }

// Rename handles RENAME.
func (s *session) Rename(name, to string, _ *imap.RenameOptions) error {
	return s.user.Rename(name, to)
}

// Subscribe handles SUBSCRIBE, for mailboxes that exist.
func (s *session) Subscribe(name string) error { return s.user.subscribe(name, true) }

// Unsubscribe handles UNSUBSCRIBE.
func (s *session) Unsubscribe(name string) error { return s.user.subscribe(name, false) }

// List handles LIST and LSUB (RFC 9051 6.3.9, RFC 5819, RFC 6154), without RECURSIVEMATCH.
func (s *session) List(w *imapserver.ListWriter, ref string, patterns []string, o *imap.ListOptions) error {
	delimiter := s.server.options.Delimiter
	if len(patterns) == 0 { // the client wants the delimiter only
		return w.WriteList(&imap.ListData{Attrs: []imap.MailboxAttr{imap.MailboxAttrNoSelect}, Delim: delimiter})
	}
	if o.SelectRecursiveMatch {
		return notSupported("RECURSIVEMATCH is not supported")
	}
	names := s.user.Names()
	parents := make(map[string]bool)
	for _, name := range names {
		for i, r := range name {
			if r == delimiter {
				parents[name[:i]] = true
			}
		}
	}
	for _, name := range names {
		m, err := s.user.Mailbox(name)
		if errors.Is(err, ErrNotFound) || !matches(name, delimiter, ref, patterns) {
			continue
		}
		data := m.list(o)
		if data == nil {
			continue
		}
		child := imap.MailboxAttrHasNoChildren
		if parents[name] {
			child = imap.MailboxAttrHasChildren
		}
		data.Attrs = append(data.Attrs, child)
		data.Mailbox, data.Delim = name, delimiter
		if o.ReturnStatus != nil && m.selectable() {
			data.Status = m.status(name)
		}
		if err := w.WriteList(data); err != nil {
			return err
		}
	}
	return nil
}

// Status handles STATUS (RFC 9051 6.3.11).
func (s *session) Status(name string, _ *imap.StatusOptions) (*imap.StatusData, error) {
	m, err := s.user.selectable(name)
	if err != nil {
		return nil, err
	}
	return m.status(name), nil
}

func matches(name string, delimiter rune, ref string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(text string) bool {
		if pattern.IsInbox(ref + text) {
			return name == inbox
		}
		return imapserver.MatchList(name, delimiter, ref, text)
	})
}

// selectable is Mailbox for a command that needs a mailbox with messages.
func (u *User) selectable(name string) (*Mailbox, error) {
	m, err := u.Mailbox(name)
	if err == nil && !m.selectable() {
		err = notSupported("Mailbox holds no messages")
	}
	return m, err
}

func (u *User) subscribe(name string, on bool) error {
	m, err := u.Mailbox(name)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.subscribed = on
	return nil
}

// list returns the mailbox's part of a LIST response, nil if the options exclude it.
func (m *Mailbox) list(o *imap.ListOptions) *imap.ListData {
	m.mu.Lock()
	defer m.mu.Unlock()
	special := slices.ContainsFunc(m.attrs, func(a imap.MailboxAttr) bool {
		return a != imap.MailboxAttrNoSelect && a != imap.MailboxAttrNonExistent
	})
	if o.SelectSubscribed && !m.subscribed || o.SelectSpecialUse && !special {
		return nil
	}
	attrs := slices.Clone(m.attrs)
	if m.subscribed && (o.ReturnSubscribed || o.SelectSubscribed) {
		attrs = append(attrs, imap.MailboxAttrSubscribed)
	}
	return &imap.ListData{Attrs: attrs}
}

// status returns all items of STATUS; imapserver sends those that the client wants.
func (m *Mailbox) status(name string) *imap.StatusData {
	m.mu.Lock()
	defer m.mu.Unlock()
	var recent, unseen, deleted uint32
	var size, storage int64
	for _, msg := range m.messages {
		size += msg.size()
		if !msg.has(`\Seen`) {
			unseen++
		}
		if msg.has(`\Deleted`) {
			deleted++
			storage += msg.size()
		}
	}
	total := uint32(len(m.messages))
	return &imap.StatusData{
		Mailbox: name, UIDNext: imap.UID(m.uidNext), UIDValidity: m.uidValidity,
		NumMessages: &total, NumRecent: &recent, NumUnseen: &unseen, NumDeleted: &deleted,
		Size: &size, DeletedStorage: &storage, AppendLimit: &m.server.options.AppendLimit,
	}
}

// notSupported returns the NO reply for something that this server does not implement.
func notSupported(text string) error {
	return &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeCannot, Text: text}
}
