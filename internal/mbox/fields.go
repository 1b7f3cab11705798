package mbox

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// fields collects the fields in the header of one message that belong to the mbox.
type fields struct {
	message      *Message
	count        int     // lines of the header so far
	own          []field // fields that belong to the mbox
	inField      bool    // the last line belongs to the last of own
	blockFields  int     // fields so far of the block that Write writes
	nextInBlock  int     // index in writtenBlock of the next field
	length       int64   // Content-Length, -1 if it has none
	isFolderData bool    // the Subject of a message in which a server keeps its own data
}

type field struct {
	name, value string
	cut         cut
}

// ownFields are the fields that mail programs add to a message in an mbox, in lower
// case.
var ownFields = []string{"status", "x-status", "x-keywords", "x-uid", "x-imap", "x-imapbase", "content-length",
	"x-mozilla-status", "x-mozilla-status2", "x-mozilla-keys"}

// Limits of what is stored of a header: the number of fields, and about how many octets
// of each value.
const (
	maxFields = 100
	maxValue  = 16 << 10
)

// folderData is the subject of the message in which the IMAP server of the
// University of Washington stores its own data about a mailbox.
const folderData = "FOLDER INTERNAL DATA"

// line adds a line of the header that begins at offset at.
func (f *fields) line(text []byte, at int64) {
	if f.count++; f.count == 1 {
		f.length = -1
	}
	if f.hasBlock() { // all later fields are the message's own
		f.endField(at)
		return
	}
	if text[0] == ' ' || text[0] == '\t' {
		if !f.inField {
			return
		}
		if last := &f.own[len(f.own)-1]; len(last.value) < maxValue {
			last.value += " " + strings.TrimSpace(string(text[:min(len(text), 1000)]))
		}
		return
	}
	f.endField(at)
	name, value, ok := bytes.Cut(text[:min(len(text), 8000)], []byte(":"))
	if !ok {
		return
	}
	lower := strings.ToLower(strings.TrimRight(string(name), " \t"))
	if lower == "subject" {
		f.isFolderData = bytes.Contains(value, []byte(folderData))
	}
	if !slices.Contains(ownFields, lower) || len(f.own) == maxFields {
		return
	}
	f.own = append(f.own, field{lower, strings.TrimSpace(string(value)), cut{at, at}})
	f.inField = true
	if f.blockFields == len(f.own)-1 && f.count == len(f.own) {
		f.inBlock(lower)
	}
	if lower == "content-length" {
		f.length = parseOctets(string(value))
	}
}

// writtenBlock are the fields of the block that Write writes, in their order.
var writtenBlock = []struct {
	name   string
	always bool
}{{"status", true}, {"x-status", true}, {"x-imapbase", false}, {"content-length", false}, {"x-keywords", true}}

// inBlock counts a field, if the block that an mbox writer adds may continue with it.
func (f *fields) inBlock(name string) {
	for i := f.nextInBlock; i < len(writtenBlock); i++ {
		if writtenBlock[i].name == name {
			f.blockFields, f.nextInBlock = f.blockFields+1, i+1
			return
		}
		if writtenBlock[i].always {
			return
		}
	}
}

// hasBlock reports whether the header begins with the whole block.
func (f *fields) hasBlock() bool { return f.nextInBlock == len(writtenBlock) }

// endField ends the current field, if there is one, at offset at.
func (f *fields) endField(at int64) {
	if f.inField {
		f.own[len(f.own)-1].cut.to = at
		f.inField = false
	}
}

// end ends the header at offset at.
func (f *fields) end(at int64) {
	f.endField(at)
	if f.count == 0 {
		f.length = -1
	}
	if f.hasBlock() {
		f.length = -1
		for _, l := range f.own {
			if l.name == "content-length" {
				f.length = parseOctets(l.value)
			}
		}
	}
}

// isInternal reports whether this is no message but the data of a server.
func (f *fields) isInternal() bool {
	return f.isFolderData && slices.ContainsFunc(f.own, func(l field) bool { return l.name == "x-imap" })
}

// apply sets the message's flags, and which of its octets are left out.
func (f *fields) apply() {
	m := f.message
	m.hasBlock = f.hasBlock()
	set := func(flag string) {
		if !slices.Contains(m.Flags, flag) {
			m.Flags = append(m.Flags, flag)
		}
	}
	letters := func(value string, of []letter) {
		for _, l := range of {
			if strings.IndexByte(value, l.octet) >= 0 {
				set(l.flag)
			}
		}
	}
	for _, l := range f.own {
		if l.name == "content-length" && !m.usesLength && !m.hasBlock {
			continue // it does not count the octets here, so it is the message's own
		}
		if l.cut.to > l.cut.from {
			m.cuts = append(m.cuts, l.cut)
		}
		switch l.name {
		case "status":
			letters(l.value, statusFlags)
			letters(l.value, []letter{{'D', `\Deleted`}})
		case "x-status":
			letters(l.value, xstatusFlags)
		case "x-keywords", "x-mozilla-keys":
			for _, k := range strings.Fields(l.value) {
				set(k)
			}
		case "x-mozilla-status":
			bits, err := strconv.ParseUint(l.value, 16, 16)
			if err != nil {
				continue
			}
			for bit, flag := range map[uint64]string{0x1: `\Seen`, 0x2: `\Answered`, 0x4: `\Flagged`, 0x8: `\Deleted`, 0x1000: "$Forwarded"} {
				if bits&bit != 0 {
					set(flag)
				}
			}
		default:
			continue
		}
		m.HasFlags = true
	}
	slices.Sort(m.Flags)
}
