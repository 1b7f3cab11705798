// Package logkey has the keys of log records, so that all packages write the same key
// for the same thing. It logs nothing itself.
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
