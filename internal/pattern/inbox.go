package pattern

import "strings"

// Inbox is the canonical name of INBOX, the mailbox that every account has.
const Inbox = "INBOX"

// IsInbox reports whether name is INBOX, compared without case (RFC 9051 5.1).
func IsInbox(name string) bool { return strings.EqualFold(name, Inbox) }

// FoldInbox returns "INBOX" if name is INBOX, else name. For a name with a hierarchy,
// pass its first level: servers that have mailboxes below INBOX compare that level
// without case too.
func FoldInbox(name string) string {
	if IsInbox(name) {
		return Inbox
	}
	return name
}

// SameName reports whether two names of a server are those of one mailbox: their octets
// are equal, or both are INBOX.
func SameName(a, b string) bool { return FoldInbox(a) == FoldInbox(b) }
