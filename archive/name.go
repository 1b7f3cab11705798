package archive

import (
	"regexp"
	"strings"

	"archiverd/internal/pattern"
)

// Names of the archive's own, which no mailbox or account may take.
const (
	infoName    = "archive.json"
	lockName    = "lock"
	stateName   = "state.db"
	tmpName     = "tmp"
	journalName = "journal.jsonl"
	lostName    = "lost+found" // fsck's, in an archive that is a file system's root
)

// Name is what a server calls a mailbox.
type Name struct {
	// Mailbox is the name in UTF-8, or the octets that the server lists where
	// those decode to no name.
	Mailbox string
	// Delimiter separates the levels of the hierarchy; empty where there are none.
	Delimiter string
	// Raw says that Mailbox holds octets that could not be decoded.
	Raw bool
}

// Levels are the levels of the name, from the top. INBOX is in upper case (RFC
// 9051 5.1).
func (n Name) Levels() []string {
	parts := []string{n.Mailbox}
	if n.Delimiter != "" {
		parts = strings.Split(n.Mailbox, n.Delimiter)
	}
	parts[0] = pattern.FoldInbox(parts[0])
	return parts
}

// escapedLevels are the directory names of n, from the top, were it alone there.
func (n Name) escapedLevels() []string {
	parts := n.Levels()
	if n.Raw {
		// Undecodable octets must not meet the decoded name that looks like
		// them: no decoded name has an escaped ampersand, and octets beyond
		// ASCII carry the suffix.
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

// isReserved says whether a directory of that name would be taken for one of the
// archive's own, also by a file system that folds case, or for a device.
func isReserved(e string) bool {
	if isMonth(e) {
		return true
	}
	switch foldKey(e) {
	case infoName, lockName, stateName, tmpName, journalName, lostName:
		return true
	}
	return windowsDevice.MatchString(e)
}

var windowsDevice = regexp.MustCompile(`(?i)^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$|clock\$)([.: ].*)?$`)

// isMonth says whether a directory of that name holds the messages of a month.
// A mailbox of many years has hundreds of them.
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
