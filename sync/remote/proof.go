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

// maxProofBatch is how many messages are proven at a time.
const maxProofBatch = 500

// proof proves that the archive has messages of the open mailbox: under this
// UIDVALIDITY and UID; with the flags and INTERNALDATE that they have at the
// server; with the server's header, or all octets if header or size are not
// conclusive; and in a file that was just read whole and has the size and SHA-256
// of the journal.
//
// The header is enough because the octets of a UID never change (RFC 9051 2.3.1.1)
// and those of this UID were fetched. A message that was matched without fetching
// it is compared by its octets.
type proof struct {
	r          *Client
	mailbox    string
	box        archive.MailboxDir
	epoch      *archive.Epoch
	unprovable string // why no message of the mailbox is proven; "" if some may be
	damage     bool   // that is because of the archive
}

// proof returns the proof for the mailbox m, which is open.
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
		p.unprovable = "the mailbox is not in the archive: " + p.adviseSync()
	case err != nil:
		p.unprovable, p.damage = fmt.Sprintf("%v; %s", err, p.adviseVerify()), true
	case v.Unknown || v.V > archive.FormatVersion:
		p.unprovable = fmt.Sprintf("%s/journal.jsonl: a newer archiverd has written to it: use that one", p.box.Dir)
	case p.epoch == nil:
		p.unprovable = "nothing of the mailbox is in the archive yet: " + p.adviseSync()
	case v.Name.Mailbox != m.Name && !pattern.IsInbox(m.Name):
		p.unprovable = fmt.Sprintf("its place in the archive, %s, is another mailbox's, %q", p.box.Dir, v.Name.Mailbox)
	case !v.Vanished.IsZero():
		p.unprovable = "the archive has the mailbox as no longer on the server: " + p.adviseSync()
	case sel.UIDValidity == 0 || sel.UIDNotSticky:
		p.unprovable = "the server gives the mailbox no lasting UIDs, so nothing says which message in the archive is this one"
	case p.epoch.UIDValidity != sel.UIDValidity:
		p.unprovable = fmt.Sprintf("UIDVALIDITY is %d at the server and %d in the archive: %s", sel.UIDValidity, p.epoch.UIDValidity, p.adviseSync())
	}
	return p, nil
}

func (p *proof) adviseSync() string {
	return fmt.Sprintf("run `archiverd sync %s` first", p.r.Account.Name)
}
func (p *proof) adviseVerify() string {
	return fmt.Sprintf("run `archiverd verify %s`", p.r.Account.Name)
}

// prove returns the messages of set that are not proven. metas is what the server
// has just said about them.
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
		meta, hasReply := metas[u]
		if reason := p.recordedReason(u, meta, hasReply); reason != "" {
			unproven(u, reason, p.damage)
			continue
		}
		m := p.epoch.Messages[u]
		if err := p.checkFile(m); err != nil {
			unproven(u, fmt.Sprintf("%s: %v: %s", p.box.ID(m), err, p.adviseVerify()), true)
			continue
		}
		if m.Matched == "" && meta.HasSize && meta.Size == m.Size {
			byHeader.Add(u)
		} else {
			whole.Add(u)
		}
	}
	doubtful, err := p.proveByHeader(ctx, byHeader)
	if err != nil {
		return nil, err
	}
	for u := range whole.Union(doubtful).All() {
		reason, err := p.proveByOctets(ctx, u)
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

// recordedReason returns why the journal does not have the message as the server
// does, "" if it has. hasReply says that the server has sent meta.
func (p *proof) recordedReason(u uint32, meta wire.Metadata, hasReply bool) string {
	if p.unprovable != "" {
		return p.unprovable
	}
	m := p.epoch.Messages[u]
	switch {
	case !hasReply:
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
		return fmt.Sprintf("its INTERNALDATE is %s at the server and %s in the archive: %s", meta.InternalDate, m.InternalDate, p.adviseCompare(m))
	}
	return ""
}

// adviseCompare says how a person compares what server and archive have under one UID.
func (p *proof) adviseCompare(m *archive.Message) string {
	return fmt.Sprintf("this is another message than was archived; compare `archiverd remote show %s MAILBOX %d` with `archiverd show %s`", p.r.Account.Name, m.UID, p.box.ID(m))
}

// checkFile reads the archived file whole. The error says why it is not the
// message of the journal.
func (p *proof) checkFile(m *archive.Message) error {
	err := p.r.Archive.CheckFile(p.box, m)
	switch mismatch := (*archive.MismatchError)(nil); {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("the archived file is missing")
	case errors.As(err, &mismatch):
		return errors.New("the archived file is damaged")
	}
	return err
}

// proveByHeader compares the headers at the server with the archived files. It
// returns the messages of set that this does not prove.
func (p *proof) proveByHeader(ctx context.Context, set uid.Set) (doubtful uid.Set, err error) {
	var equal uid.Set
	err = p.r.c.FetchHeaders(ctx, set, func(u uint32, header []byte) error {
		if p.hasHeader(p.epoch.Messages[u], header) {
			equal.Add(u)
		}
		return nil
	})
	if err != nil && !session.IsMessageError(err) {
		return set, fmt.Errorf("mailbox %q: %w", p.mailbox, err)
	}
	return set.Subtract(equal), nil
}

// hasHeader reports whether the archived file starts with a header, and the header
// is complete: it ends with an empty line, or is the whole message.
func (p *proof) hasHeader(m *archive.Message, header []byte) bool {
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

// proveByOctets fetches a message and compares its octets with the journal. It
// returns why it is not the archived one, "" if it is.
func (p *proof) proveByOctets(ctx context.Context, u uint32) (reason string, err error) {
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
		return "its octets at the server are not those in the archive: " + p.adviseCompare(m), nil
	}
	return "", nil
}
