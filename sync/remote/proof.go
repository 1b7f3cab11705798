package remote

import (
	"bufio"
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
// server; with the size that the server announces; with all octets that the server
// sends, among them a header; and in a file that was just read whole and has the
// size and SHA-256 of the journal.
//
// The octets are fetched again because nothing less proves them: a server that was
// busy or broken when the message was archived may have sent another body behind the
// same header, and the connection of this proof is never the one that archived it.
// Size and header are asked for as well because empty equals empty, of a message that
// the server can't read any more.
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
	var recorded uid.Set
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
		recorded.Add(u)
	}
	reasons, err := p.proveByOctets(ctx, recorded)
	if err != nil {
		return nil, err
	}
	for u, reason := range reasons {
		unproven(u, reason, false)
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
	return p.sizeReason(m, meta)
}

// sizeReason returns why the size that the server announces does not prove the
// archived message, "" if it does.
func (p *proof) sizeReason(m *archive.Message, meta wire.Metadata) string {
	switch {
	case !meta.HasSize:
		return "the server does not say its size, without which its octets prove nothing: try again"
	case meta.Size != m.Size && m.Announced != nil:
		return fmt.Sprintf("the server announces %d octets, and sent %d when it was archived, so that nothing proves them complete: delete it with a mail program", meta.Size, m.Size)
	case meta.Size != m.Size:
		return fmt.Sprintf("the server announces %d octets, and the archive has %d: %s", meta.Size, m.Size, p.adviseCompare(m))
	case m.Size == 0:
		return "it is empty, and an empty message proves nothing: delete it with a mail program"
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

// proveByOctets fetches messages and compares their octets with the journal. It
// returns, by UID, why they are not the archived ones, of those that are not.
func (p *proof) proveByOctets(ctx context.Context, set uid.Set) (reasons map[uint32]string, err error) {
	reasons = map[uint32]string{}
	var answered uid.Set
	err = p.r.c.FetchBodies(ctx, set, func(u uint32, _ int64, body io.Reader) error {
		reason, err := p.compareOctets(u, body)
		if err != nil {
			return err
		}
		if reason != "" {
			reasons[u] = reason
		}
		answered.Add(u)
		return nil
	})
	if err != nil && !session.IsMessageError(err) {
		return nil, fmt.Errorf("mailbox %q: %w", p.mailbox, err)
	}
	for u := range set.Subtract(answered).All() {
		var reason string
		err := p.r.c.FetchBody(ctx, u, func(_ int64, body io.Reader) (err error) {
			reason, err = p.compareOctets(u, body)
			return err
		})
		switch {
		case session.IsMessageError(err):
			reason = fmt.Sprintf("the server does not hand it over to be compared (%v): try again", err)
		case err != nil:
			return nil, fmt.Errorf("mailbox %q, UID %d: %w", p.mailbox, u, err)
		}
		if reason != "" {
			reasons[u] = reason
		}
	}
	return reasons, nil
}

// compareOctets reads a message from the server, and returns why it is not the
// archived one, "" if it is.
func (p *proof) compareOctets(u uint32, body io.Reader) (reason string, err error) {
	m := p.epoch.Messages[u]
	first := bufio.NewReader(body)
	begin, err := first.Peek(2)
	if err != nil && err != io.EOF {
		return "", err
	}
	sum, size, err := archive.Hash(first)
	switch {
	case err != nil:
		return "", err
	case m.CheckOctets(sum, size) != nil:
		return "its octets at the server are not those in the archive: " + p.adviseCompare(m), nil
	case len(begin) == 0 || begin[0] == '\n' || string(begin) == "\r\n":
		return "it has no header, and a message without one proves nothing: delete it with a mail program", nil
	}
	return "", nil
}
