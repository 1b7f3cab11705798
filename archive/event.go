package archive

import (
	"fmt"
	"path"
	"strings"
	"time"

	"archiverd/internal/uid"
)

// FormatVersion is the version of the format on disk that this package writes.
const FormatVersion = 1

// Kind is what a line of a journal records.
type Kind string

// The kinds of events of format version 1, in docs/format.md.
const (
	Opened   Kind = "opened"   // an epoch begins: the UIDs of the lines that follow belong to its UIDVALIDITY
	Added    Kind = "added"    // a message is in the archive
	Flags    Kind = "flags"    // a message's flags are now these
	Gone     Kind = "gone"     // the server no longer lists these UIDs
	Failed   Kind = "failed"   // a message could not be archived
	Vanished Kind = "vanished" // the server no longer lists the mailbox
	Sealed   Kind = "sealed"   // a commit ends; written by Commit alone
)

// Event is one line of a journal. Kind says which fields count.
type Event struct {
	Kind Kind
	// V is, of Opened, the format version of the lines that follow.
	V int
	// At is when archiverd saw the event, in UTC, to the second; never earlier than that
	// of the event before.
	At time.Time

	// Of Opened. Journal is the random id of the journal file.
	Journal     string
	Name        Name
	UIDValidity uint32
	Attrs       []string
	Imported    bool // the messages were imported from files, and are on no server
	// Server is host:port of the server, in lower case, and User the name that was used
	// to log in. Both are empty for an import, and in journals of earlier versions.
	Server, User string

	UID  uint32  // of Added, Flags, Failed
	UIDs uid.Set // of Gone

	// Of Added, and of a Failed whose octets are kept: Path is relative to the mailbox
	// directory, with slashes; Size is in octets. A Failed without kept octets has no
	// Path.
	Path string
	Size int64
	Sum  Sum
	// Announced is, of Added and Failed, the size in octets that the server announced
	// (RFC822.SIZE), if the octets that it sent were not as many; nil: they were, or
	// nothing is known of it.
	Announced *int64

	// Of Added. InternalDate has the server's zone; it is zero if the server gave none
	// that RFC 3339 can express. Matched says how the message was recognised without
	// a download; empty: it was downloaded.
	InternalDate time.Time
	Matched      string
	// Expected is, of an Added that was downloaded although it matched a message of
	// the archive, that message's sum; zero: it matched none.
	Expected Sum
	EmailID  string   // of Added: EMAILID (RFC 8474) or Gmail's X-GM-MSGID; empty: the server gave none
	Labels   []string // of Added: X-GM-LABELS, sorted; nil: the server gave none

	Flags  []string // of Added and Flags: sorted, never nil there
	Reason string   // of Failed

	seal string // of Sealed
}

// validate returns an error if e has no line that can be decoded again.
func (e *Event) validate() error {
	switch e.Kind {
	case Added:
		if e.UID == 0 || e.Size < 0 || !isLocalPath(e.Path) || !hasRFC3339Form(e.InternalDate) {
			return fmt.Errorf("added: uid %d, size %d, path %.80q, or internaldate %v", e.UID, e.Size, e.Path, e.InternalDate)
		}
	case Failed:
		if e.UID == 0 || e.Size < 0 || e.Path != "" && !isLocalPath(e.Path) {
			return fmt.Errorf("failed: uid %d, size %d, or path %.80q", e.UID, e.Size, e.Path)
		}
	case Flags:
		if e.UID == 0 {
			return fmt.Errorf("%s: no uid", e.Kind)
		}
	}
	return nil
}

// AnnouncedSize returns the size in octets that the server announced.
func (e *Event) AnnouncedSize() int64 {
	if e.Announced != nil {
		return *e.Announced
	}
	return e.Size
}

// HasFile reports whether the event names a file of the mailbox: that of a message, or
// the octets that were kept of one that could not be archived.
func (e *Event) HasFile() bool { return e.Kind == Added || e.Kind == Failed && e.Path != "" }

// hasRFC3339Form reports whether RFC 3339 can express t.
func hasRFC3339Form(t time.Time) bool {
	_, zone := t.Zone()
	return t.Year() >= 0 && t.Year() <= 9999 && zone > -24*3600 && zone < 24*3600
}

// isLocalPath reports whether p, from a journal, is a clean path below the mailbox
// directory.
func isLocalPath(p string) bool {
	return p != "" && path.Clean(p) == p && !path.IsAbs(p) && p != ".." && !strings.HasPrefix(p, "../") && !strings.ContainsAny(p, "\\\x00")
}
