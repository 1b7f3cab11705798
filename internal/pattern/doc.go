// Package pattern compares mailbox names as IMAP does: with the wildcards of LIST, and
// INBOX without case. Names are UTF-8; package utf7 decodes those on the wire.
package pattern
