package archive

import (
	"regexp"
	"strings"

	"archiverd/internal/pattern"
)

// Names of files and directories that no mailbox or account may have.
const (
	infoName        = "archive.json"
	checkpointsName = "checkpoints.jsonl"
	lockName        = "lock"
	stateName       = "state.db"
	tmpName         = "tmp"
	journalName     = "journal.jsonl"
	lostName        = "lost+found" // made by fsck where the archive is the root of a file system
)

// Name is what a server calls a mailbox.
type Name struct {
	// Mailbox is the name in UTF-8 or, with Raw, the octets that the server lists.
	Mailbox string
	// Delimiter separates the levels of the hierarchy; empty: there are none.
	Delimiter string
	// Raw means that the octets in Mailbox could not be decoded to a name.
	Raw bool
}

// Levels returns the levels of the name, from the top. INBOX is in upper case (RFC
// 9051 5.1).
func (n Name) Levels() []string {
	parts := []string{n.Mailbox}
	if n.Delimiter != "" {
		parts = strings.Split(n.Mailbox, n.Delimiter)
	}
	parts[0] = pattern.FoldInbox(parts[0])
	return parts
}

// escapedLevels returns the names of n's directories, from the top, if none of them is
// taken by another mailbox.
func (n Name) escapedLevels() []string {
	parts := n.Levels()
	if n.Raw {
		// Octets that can't be decoded must not get the directory of the decoded
		// name that looks like them: no decoded name has an escaped ampersand, and
		// octets beyond ASCII get a hash.
		for i, p := range parts {
			parts[i] = escapeRawLevel(p)
		}
		return parts
	}
	for i, p := range parts {
		parts[i] = escapeLevel(p)
	}
	return parts
}

// isReserved reports whether a mailbox may not have a directory of that name: it is a
// name of the archive's files and directories, on a file system that ignores case too,
// or the name of a device on Windows.
func isReserved(e string) bool {
	if isMonth(e) {
		return true
	}
	switch foldKey(e) {
	case infoName, checkpointsName, lockName, stateName, tmpName, journalName, lostName:
		return true
	}
	return windowsDevice.MatchString(e)
}

// windowsDevice matches names that Windows takes for devices, with any extension.
var windowsDevice = regexp.MustCompile(`(?i)^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$|clock\$)([.: ].*)?$`)

// isMonth reports whether a directory of that name holds the messages of a month. It
// uses no regular expression: a mailbox of many years has hundreds of them.
func isMonth(name string) bool {
	if len(name) != len("2006-01") || name[4] != '-' {
		return false
	}
	for i := range name {
		if i != 4 && (name[i] < '0' || name[i] > '9') {
			return false
		}
	}
	return true
}
