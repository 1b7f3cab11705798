package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"archiverd/archive"
	"archiverd/internal/pattern"
	"archiverd/internal/session"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
)

// Unproven is a message at the server of which it is not proven that the archive
// has it.
type Unproven struct {
	Mailbox string `json:"mailbox"`
	UID     uint32 `json:"uid"`
	Reason  string `json:"reason"` // and what to do
	Damage  bool   `json:"damage"` // the archive itself is damaged
}

func (u Unproven) String() string {
	return fmt.Sprintf("mailbox %q, UID %d: %s", u.Mailbox, u.UID, u.Reason)
}

// Reasons are lines for people on why the messages of one mailbox are not proven:
// those with the same reason together, and after a number of lines the rest counted.
func Reasons(list []Unproven) []string {
	var order []string
	of := map[string]*uid.Set{}
	for _, u := range list {
		if of[u.Reason] == nil {
			of[u.Reason] = &uid.Set{}
			order = append(order, u.Reason)
		}
		of[u.Reason].Add(u.UID)
	}
	var out []string
	rest := len(list)
	for _, reason := range order[:min(len(order), reasonsShown)] {
		set := of[reason]
		rest -= set.Len()
		if set.Len() == 1 {
			out = append(out, Unproven{Mailbox: list[0].Mailbox, UID: set.Max(), Reason: reason}.String())
			continue
		}
		text := set.String()
		if len(text) > 100 {
			text = text[:strings.LastIndexByte(text[:100], ',')+1] + "…"
		}
		out = append(out, fmt.Sprintf("mailbox %q, %d messages, UIDs %s: %s", list[0].Mailbox, set.Len(), text, reason))
	}
	if rest > 0 {
		out = append(out, fmt.Sprintf("%d more in mailbox %q", rest, list[0].Mailbox))
	}
	return out
}

// proofUIDs is how many messages are proven in one go.
const proofUIDs = 500

// proof proves of messages of the mailbox that is open that the archive has
// them: under this UIDVALIDITY and UID; with the flags and INTERNALDATE that
// they have at the server; with the header that the server shows, or, where
// header or size leave a doubt, the very octets; and in a file that was read
// whole just now and has the size and SHA-256 of the journal.
//
// The header stands for the body because a UID's octets never change (RFC 9051
// 2.3.1.1), and those of this UID were fetched: of a message that was matched
// without fetching it, the octets are compared.
type proof struct {
	r       *Client
	mailbox string
	box     archive.MailboxDir
	epoch   *archive.Epoch
	none    string // why no message of the mailbox is proven; "" if some may be
	damage  bool   // that is because of the archive
}

// proof begins the proof for the mailbox that is open.
func (r *Client) proof(m wire.Mailbox, sel wire.Examined) (*proof, error) {
	p := &proof{r: r, mailbox: m.Name}
	name := archive.Name{Mailbox: m.Name, Delimiter: m.Delimiter, Raw: m.Raw}
	var err error
	if p.box, err = r.Archive.DirectoryOf(r.Account.Name, name); err != nil {
		return nil, err
	}
	v, _, err := r.Archive.Fold(p.box)
	p.epoch = v.Epoch()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.none = "the mailbox is not in the archive: " + p.adviseSync()
	case err != nil:
		p.none, p.damage = fmt.Sprintf("%v; %s", err, p.adviseVerify()), true
	case v.Unknown || v.V > archive.FormatVersion:
		p.none = fmt.Sprintf("%s/journal.jsonl: a newer archiverd has written to it: use that one", p.box.Dir)
	case p.epoch == nil:
		p.none = "nothing of the mailbox is in the archive yet: " + p.adviseSync()
	case v.Name.Mailbox != m.Name && !pattern.IsInbox(m.Name):
		p.none = fmt.Sprintf("its place in the archive, %s, is another mailbox's, %q", p.box.Dir, v.Name.Mailbox)
	case !v.Vanished.IsZero():
		p.none = "the archive has the mailbox as no longer on the server: " + p.adviseSync()
	case sel.UIDValidity == 0 || sel.UIDNotSticky:
		p.none = "the server gives the mailbox no lasting UIDs, so nothing says which message in the archive is this one"
	case p.epoch.UIDValidity != sel.UIDValidity:
		p.none = fmt.Sprintf("UIDVALIDITY is %d at the server and %d in the archive: %s", sel.UIDValidity, p.epoch.UIDValidity, p.adviseSync())
	}
	return p, nil
}

func (p *proof) adviseSync() string {
	return fmt.Sprintf("run `archiverd sync %s` first", p.r.Account.Name)
}
func (p *proof) adviseVerify() string {
	return fmt.Sprintf("run `archiverd verify %s`", p.r.Account.Name)
}

// prove returns those messages of set that are not proven. metas is what the
// server has just told of them.
func (p *proof) prove(ctx context.Context, set uid.Set, metas map[uint32]wire.Metadata) ([]Unproven, error) {
	var out []Unproven
	unproven := func(u uint32, reason string, damage bool) {
		out = append(out, Unproven{p.mailbox, u, reason, damage})
	}
	var byHeader, whole uid.Set
	for u := range set.All() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		meta, told := metas[u]
		if reason := p.recorded(u, meta, told); reason != "" {
			unproven(u, reason, p.damage)
			continue
		}
		m := p.epoch.Messages[u]
		if err := p.read(m); err != nil {
			unproven(u, fmt.Sprintf("%s: %v: %s", p.box.ID(m), err, p.adviseVerify()), true)
			continue
		}
		if m.Matched == "" && meta.HasSize && meta.Size == m.Size {
			byHeader.Add(u)
		} else {
			whole.Add(u)
		}
	}
	doubtful, err := p.headers(ctx, byHeader)
	if err != nil {
		return nil, err
	}
	for u := range whole.Union(doubtful).All() {
		reason, err := p.octets(ctx, u)
		if err != nil {
			return nil, err
		}
		if reason != "" {
			unproven(u, reason, false)
		}
	}
	slices.SortFunc(out, func(a, b Unproven) int { return int(int64(a.UID) - int64(b.UID)) })
	return out, nil
}

// recorded says why the journal does not have the message as the server does, ""
// if it has.
func (p *proof) recorded(u uint32, meta wire.Metadata, told bool) string {
	if p.none != "" {
		return p.none
	}
	m := p.epoch.Messages[u]
	switch {
	case !told:
		return "the server lists it and tells nothing of it: try again"
	case m == nil && p.epoch.Failed[u] != "":
		return fmt.Sprintf("it could not be archived (%s): %s", p.epoch.Failed[u], p.adviseSync())
	case m == nil:
		return "it is not in the archive: " + p.adviseSync()
	case !m.Listed():
		return "the archive has it as gone from the server: " + p.adviseSync()
	case !meta.HasFlags || !slices.Equal(archive.StoredFlags(meta.Flags), m.Flags):
		return fmt.Sprintf("its flags are %q at the server and %q in the archive, changed since: %s", strings.Join(meta.Flags, " "), strings.Join(m.Flags, " "), p.adviseSync())
	case !meta.InternalDate.Equal(m.InternalDate):
		return fmt.Sprintf("its INTERNALDATE is %s at the server and %s in the archive: %s", meta.InternalDate, m.InternalDate, p.compare(m))
	}
	return ""
}

// compare says how a person sees what server and archive have under one UID.
func (p *proof) compare(m *archive.Message) string {
	return fmt.Sprintf("this is another message than was archived; compare `archiverd remote show %s MAILBOX %d` with `archiverd show %s`", p.r.Account.Name, m.UID, p.box.ID(m))
}

// read reads the archived file whole, and returns why it is not what the journal
// says.
func (p *proof) read(m *archive.Message) error {
	err := p.r.Archive.CheckFile(p.box, m)
	switch mismatch := (*archive.MismatchError)(nil); {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("the archived file is missing")
	case errors.As(err, &mismatch):
		return errors.New("the archived file is damaged")
	}
	return err
}

// headers compares the headers at the server with the archived files. It returns
// the messages of set of which that proves nothing.
func (p *proof) headers(ctx context.Context, set uid.Set) (doubtful uid.Set, err error) {
	var equal uid.Set
	err = p.r.c.FetchHeaders(ctx, set, func(u uint32, header []byte) error {
		if p.begins(p.epoch.Messages[u], header) {
			equal.Add(u)
		}
		return nil
	})
	if err != nil && !session.IsMessageError(err) {
		return set, fmt.Errorf("mailbox %q: %w", p.mailbox, err)
	}
	return set.Subtract(equal), nil
}

// begins says whether the archived file begins with that header, and the header
// is whole: it ends in an empty line, or the message does not go on behind it.
func (p *proof) begins(m *archive.Message, header []byte) bool {
	whole := bytes.HasSuffix(header, []byte("\n\r\n")) || bytes.HasSuffix(header, []byte("\n\n")) || int64(len(header)) == m.Size
	if !whole || len(header) == 0 {
		return false
	}
	f, err := p.r.Archive.OpenFile(p.box.ID(m))
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, len(header))
	_, err = io.ReadFull(f, head)
	return err == nil && bytes.Equal(head, header)
}

// octets fetches a message and compares it with the journal; it returns why it
// is not the one that was archived, "" if it is.
func (p *proof) octets(ctx context.Context, u uint32) (reason string, err error) {
	m := p.epoch.Messages[u]
	var sum archive.Sum
	err = p.r.c.FetchBody(ctx, u, func(_ int64, body io.Reader) (err error) {
		sum, _, err = archive.Hash(body)
		return err
	})
	switch {
	case err != nil && session.IsMessageError(err):
		return fmt.Sprintf("the server does not hand it over to be compared (%v): try again", err), nil
	case err != nil:
		return "", fmt.Errorf("mailbox %q, UID %d: %w", p.mailbox, u, err)
	case sum != m.Sum:
		return "its octets at the server are not those in the archive: " + p.compare(m), nil
	}
	return "", nil
}
