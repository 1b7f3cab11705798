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

// message is a Message in a Mailbox. What stands first never changes; the rest is
// guarded by the mailbox's mutex.
type message struct {
	uid  uint32
	date time.Time
	body []byte
	file *io.SectionReader

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

// addFlags returns flags and those of more that are not in it, first spelling
// first. \Recent is nobody's to set (RFC 3501 2.3.2).
func addFlags(flags, more []string) []string {
	flags = slices.Clone(flags)
	for _, f := range more {
		if !hasFlag(flags, f) && !strings.EqualFold(f, `\Recent`) {
			flags = append(flags, f)
		}
	}
	return flags
}

// removeFlags returns flags without those of less.
func removeFlags(flags, less []string) []string {
	return slices.DeleteFunc(slices.Clone(flags), func(f string) bool { return hasFlag(less, f) })
}
