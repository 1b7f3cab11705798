package mbox

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// fields gathers the mbox's own fields of one message's header.
type fields struct {
	m      *Message
	count  int     // lines of the header so far
	list   []field // those that are the mbox's own
	open   bool    // the last line was of the last of list
	block  int     // fields at its beginning that are of the block that Write writes
	next   int     // what may come next in that block, of blockFields
	length int64   // Content-Length, -1 if it has none
	folder bool    // Subject says that it is no message
}

type field struct {
	name, value string
	cut         cut
}

// The fields that mail programs add to a message in an mbox, in lower case.
var ownFields = []string{"status", "x-status", "x-keywords", "x-uid", "x-imap", "x-imapbase", "content-length",
	"x-mozilla-status", "x-mozilla-status2", "x-mozilla-keys"}

// What is kept of a header: so many fields, and of each value about so many octets.
const (
	mostFields = 100
	mostValue  = 16 << 10
)

// folderData is the subject of the message in which the IMAP server of the
// University of Washington keeps what it knows of a mailbox.
const folderData = "FOLDER INTERNAL DATA"

// line takes a line of the header that begins at an offset.
func (f *fields) line(text []byte, at int64) {
	if f.count++; f.count == 1 {
		f.length = -1
	}
	if f.own() { // all that follows is the message's
		f.close(at)
		return
	}
	if text[0] == ' ' || text[0] == '\t' {
		if !f.open {
			return
		}
		if last := &f.list[len(f.list)-1]; len(last.value) < mostValue {
			last.value += " " + strings.TrimSpace(string(text[:min(len(text), 1000)]))
		}
		return
	}
	f.close(at)
	name, value, ok := bytes.Cut(text[:min(len(text), 8000)], []byte(":"))
	if !ok {
		return
	}
	lower := strings.ToLower(strings.TrimRight(string(name), " \t"))
	if lower == "subject" {
		f.folder = bytes.Contains(value, []byte(folderData))
	}
	if !slices.Contains(ownFields, lower) || len(f.list) == mostFields {
		return
	}
	f.list = append(f.list, field{lower, strings.TrimSpace(string(value)), cut{at, at}})
	f.open = true
	if f.block == len(f.list)-1 && f.count == len(f.list) {
		f.inBlock(lower)
	}
	if lower == "content-length" {
		f.length = number(string(value))
	}
}

// blockFields are the fields of the block that Write writes, in their order.
var blockFields = []struct {
	name   string
	always bool
}{{"status", true}, {"x-status", true}, {"x-imapbase", false}, {"content-length", false}, {"x-keywords", true}}

// inBlock counts a field that may come next in the block.
func (f *fields) inBlock(name string) {
	for i := f.next; i < len(blockFields); i++ {
		if blockFields[i].name == name {
			f.block, f.next = f.block+1, i+1
			return
		}
		if blockFields[i].always {
			return
		}
	}
}

// own says whether the header begins with the whole block.
func (f *fields) own() bool { return f.next == len(blockFields) }

// close ends the field before.
func (f *fields) close(at int64) {
	if f.open {
		f.list[len(f.list)-1].cut.to = at
		f.open = false
	}
}

// done ends the header.
func (f *fields) done(at int64) {
	f.close(at)
	if f.count == 0 {
		f.length = -1
	}
	if f.own() {
		f.length = -1
		for _, l := range f.list {
			if l.name == "content-length" {
				f.length = number(l.value)
			}
		}
	}
}

// internal says whether this is no message but what a server remembers.
func (f *fields) internal() bool {
	return f.folder && slices.ContainsFunc(f.list, func(l field) bool { return l.name == "x-imap" })
}

// settle sets the message's flags and what is to be cut out.
func (f *fields) settle() {
	m := f.m
	m.own = f.own()
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
	for _, l := range f.list {
		if l.name == "content-length" && !m.length && !m.own {
			continue // it counts nothing here: the message's own
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
		m.Known = true
	}
	slices.Sort(m.Flags)
}
