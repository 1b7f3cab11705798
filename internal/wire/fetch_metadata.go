package wire

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"archiverd/internal/uid"
)

// maxSetOctets bounds a UID set in one command: Dovecot refuses lines of 64 KiB.
const maxSetOctets = 8000

// MetadataQuery says which metadata of which messages to fetch.
type MetadataQuery struct {
	Set          uid.Set
	FlagsOnly    bool   // FLAGS alone, without INTERNALDATE and RFC822.SIZE
	IDs          bool   // also EMAILID (RFC 8474), or Gmail's X-GM-MSGID and X-GM-LABELS, where the server has them
	ChangedSince uint64 // only messages changed since this MODSEQ, needs CONDSTORE; 0: all (RFC 7162 3.1.4.1)
}

// Metadata is what the server says of one message, without its octets.
type Metadata struct {
	UID, Seq     uint32
	HasFlags     bool
	Flags        []string  // sorted, each once, \Recent left out
	InternalDate time.Time // with the server's zone; zero: none, or unreadable
	HasSize      bool
	Size         int64 // RFC822.SIZE, octets
	ModSeq       uint64
	EmailID      string   // EMAILID, else X-GM-MSGID; empty: not sent
	Labels       []string // X-GM-LABELS, in UTF-8, sorted; nil: not sent
	Problem      string   // what could not be read, safe to print
}

// FetchMetadata fetches flags, INTERNALDATE and RFC822.SIZE. fn is given every FETCH
// reply with a UID, also those that the server sends unasked: the caller checks which it
// asked for, and which are missing. An error of fn ends the connection and is returned.
// Whatever is unreadable in a reply is in that message's Problem.
//
// If the server refuses object IDs that it announces, the query is sent again without
// them, and fn may be given messages twice.
func (c *Conn) FetchMetadata(ctx context.Context, q MetadataQuery, fn func(Metadata) error) error {
	err := c.fetchMetadata(ctx, q, fn)
	if c.refusedObjectIDs(q, err) {
		q.IDs = false
		if err = c.fetchMetadata(ctx, q, fn); err == nil {
			c.objectIDsRefused = true
		}
	}
	return err
}

func (c *Conn) fetchMetadata(ctx context.Context, q MetadataQuery, fn func(Metadata) error) error {
	cmd := command{name: cmdFetch, answerWait: c.options.Timeouts.Answer, onNO: ClassMessage, onBAD: ClassProtocol}
	most := min(q.Set.Len(), maxMetadataReplies)
	for lines := range slices.Chunk(c.metadataCommands(q), maxPipelined) {
		err := c.exclusive(ctx, cmd, func() error {
			answers, err := c.exchange(lines, most, func(u untagged) (bool, error) { return handleMetadata(u, fn) }, nil)
			for _, s := range answers {
				if err == nil {
					err = c.refusal(s, cmd)
				}
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// maxMetadataReplies bounds the replies to a query of a very wide set: no mailbox has
// more messages.
const maxMetadataReplies = 1 << 27

// metadataCommands returns the commands of a query.
func (c *Conn) metadataCommands(q MetadataQuery) []string {
	items := "(UID FLAGS INTERNALDATE RFC822.SIZE)"
	if q.IDs {
		items = "(UID FLAGS INTERNALDATE RFC822.SIZE" + c.objectIDItems() + ")"
	}
	if q.FlagsOnly {
		items = "(UID FLAGS)"
	}
	if q.ChangedSince > 0 {
		items += fmt.Sprintf(" (CHANGEDSINCE %d)", q.ChangedSince)
	}
	var lines []string
	for _, part := range splitSet(q.Set) {
		lines = append(lines, "UID FETCH "+part.String()+" "+items)
	}
	return lines
}

// handleMetadata gives fn the metadata of a FETCH reply that has a UID.
func handleMetadata(u untagged, fn func(Metadata) error) (bool, error) {
	f := parseFetch(u)
	if f.uid == 0 {
		return false, nil
	}
	return true, fn(f.metadata(u.number))
}

// Bounds of the flags of one message: the metadata of thousands of messages is in memory
// at once.
const (
	maxFlags       = 500
	maxFlagsOctets = 8 << 10
)

// maxMessageSize bounds RFC822.SIZE, so that adding up sizes can't overflow.
const maxMessageSize = 1 << 40

func (f fetchReply) metadata(seq uint32) Metadata {
	m := Metadata{UID: f.uid, Seq: seq}
	var problems []string
	if f.broken {
		problems = append(problems, "reply is cut off or malformed")
	}
	switch {
	case f.flags.kind == none:
	case len(f.flags.octets) > maxFlagsOctets || bytes.Count(f.flags.octets, []byte{' '}) >= maxFlags:
		problems = append(problems, fmt.Sprintf("over %d flags, or %d octets of flags", maxFlags, maxFlagsOctets))
	default:
		flags, err := parseFlags(f.flags)
		if m.Flags = flags; err != nil {
			problems = append(problems, err.Error())
		}
		m.HasFlags = f.flags.kind == list
	}
	if f.date.kind != none {
		date, err := parseDate(f.date)
		if m.InternalDate = date; err != nil {
			problems = append(problems, err.Error())
		}
	}
	if f.size.kind != none {
		n, ok := f.size.number()
		if m.Size, m.HasSize = int64(n), ok && n < maxMessageSize; !m.HasSize {
			m.Size, problems = 0, append(problems, "unreadable RFC822.SIZE")
		}
	}
	if f.modSeq.kind == list { // RFC 7162 3.1.4.2
		inner := cursor{f.modSeq.octets}
		m.ModSeq, _ = inner.value().number()
	}
	m.EmailID = f.emailID()
	if f.labels.kind != none {
		labels, err := parseLabels(f.labels)
		if m.Labels = labels; err != nil {
			problems = append(problems, err.Error())
		}
	}
	m.Problem = strings.Join(problems, ", ")
	return m
}

// splitSet cuts a set into parts of at most maxSetOctets each, as text.
func splitSet(set uid.Set) []uid.Set {
	if set.Empty() {
		return nil
	}
	var parts []uid.Set
	var part uid.Set
	octets := 0
	for r := range set.Ranges() {
		n := len(uid.Of(r.First).String()) + len(uid.Of(r.Last).String()) + 2
		if octets+n > maxSetOctets {
			parts = append(parts, part)
			part, octets = uid.Set{}, 0
		}
		part.AddRange(r.First, r.Last)
		octets += n
	}
	return append(parts, part)
}
