// Package pattern compares mailbox names as IMAP does: the wildcards of LIST, and
// the one name whose case does not matter.
package pattern
