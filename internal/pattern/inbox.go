package pattern

import "strings"

// Inbox is the name of the mailbox that every account has, as archiverd writes it.
const Inbox = "INBOX"

// IsInbox reports whether name means INBOX: its case does not matter (RFC 9051 5.1).
func IsInbox(name string) bool { return strings.EqualFold(name, Inbox) }

// FoldInbox returns name, or "INBOX" if it means that. With a hierarchy, give it
// the first level of a name: the servers that have mailboxes below INBOX compare
// that level without case too.
func FoldInbox(name string) string {
	if IsInbox(name) {
		return Inbox
	}
	return name
}

// SameName reports whether two names as a server lists them are one mailbox's:
// they are equal octet by octet, or both mean INBOX.
func SameName(a, b string) bool { return FoldInbox(a) == FoldInbox(b) }
