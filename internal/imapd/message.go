package imapd

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"time"
)

// Message is a message as a caller gives it to a Mailbox or gets it from one.
type Message struct {
	UID          uint32            // in Append: 0 means UIDNEXT
	Flags        []string          // system flags such as \Seen, and keywords
	InternalDate time.Time         // with its zone; in Append: zero means now
	Body         []byte            // the octets; the caller must not change them after Append
	Large        *io.SectionReader // instead of Body where that is nil: the octets in a file, open as long as the server
}

// Reader reads the octets of the message, wherever they are. Each call starts anew.
func (m Message) Reader() *io.SectionReader {
	if m.Body == nil && m.Large != nil {
		return io.NewSectionReader(m.Large, 0, m.Large.Size())
	}
	return io.NewSectionReader(bytes.NewReader(m.Body), 0, int64(len(m.Body)))
}

// message is a Message in a Mailbox.
type message struct {
	// Never changed.
	uid  uint32
	date time.Time
	body []byte
	file *io.SectionReader

	// Guarded by the mailbox's mu.
	flags  []string // replaced, never changed in place
	modSeq uint64   // the mailbox's modSeq when flags changed last
	gone   bool     // expunged
}

func (m *message) public() Message {
	return Message{UID: m.uid, Flags: slices.Clone(m.flags), InternalDate: m.date, Body: m.body, Large: m.file}
}

func (m *message) reader() *io.SectionReader { return Message{Body: m.body, Large: m.file}.Reader() }

func (m *message) size() int64 { return m.reader().Size() }

func (m *message) has(flag string) bool { return hasFlag(m.flags, flag) }

// hasFlag compares flags without case (RFC 9051 2.3.2).
func hasFlag(flags []string, flag string) bool {
	return slices.ContainsFunc(flags, func(f string) bool { return strings.EqualFold(f, flag) })
}

// addFlags returns flags and those of added that are not in it. The first spelling of a
// flag is kept. \Recent is skipped: no client can set it (RFC 3501 2.3.2).
func addFlags(flags, added []string) []string {
	flags = slices.Clone(flags)
	for _, f := range added {
		if !hasFlag(flags, f) && !strings.EqualFold(f, `\Recent`) {
			flags = append(flags, f)
		}
	}
	return flags
}

// removeFlags returns flags without those in removed.
func removeFlags(flags, removed []string) []string {
	return slices.DeleteFunc(slices.Clone(flags), func(f string) bool { return hasFlag(removed, f) })
}
