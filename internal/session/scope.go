package session

import (
	"errors"

	"archiverd/internal/wire"
)

// IsMailboxError reports whether an error concerns one mailbox alone, so that
// the work on the others can go on. Where the server has not refused something
// (wire.ClassUnknown, wire.ClassProtocol), the connection has to be dropped.
func IsMailboxError(err error) bool {
	switch wire.Classify(err) {
	case wire.ClassMailbox, wire.ClassMessage, wire.ClassLogin, wire.ClassUnknown:
		return true
	}
	return errors.Is(err, wire.ErrLimit) // a reply too large, as a header of gigabytes
}

// IsMessageError reports whether an error concerns one message alone and the
// connection can be used further.
func IsMessageError(err error) bool {
	return errors.Is(err, wire.ErrNoBody) || errors.Is(err, wire.ErrNotSent) || wire.Classify(err) == wire.ClassMessage
}
