// Package logkey names the keys of log records, so that every package writes the
// same key for the same thing.
package logkey

// Keys of log records. An account is the configured name, a mailbox the name that
// the server listed.
const (
	Account = "account"
	Mailbox = "mailbox"
	UID     = "uid"
	Octets  = "octets"
	Elapsed = "elapsed"
	Error   = "error"
)
