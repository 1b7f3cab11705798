package session

import (
	"fmt"

	"github.com/dustin/go-humanize/english"

	"archiverd/internal/uid"
	"archiverd/internal/wire"
)

// OpenComplete calls open, which opens a mailbox and lists its UIDs, and calls
// it once more if the list is not complete: messages may have been expunged
// between the two answers. The second list may still not be complete.
func OpenComplete(open func() (wire.Opened, error)) (opened wire.Opened, err error) {
	for range 2 {
		if opened, err = open(); err != nil || CheckComplete(opened.Examined, opened.UIDs) == nil {
			break
		}
	}
	return opened, err
}

// CheckComplete returns an error if a list of UIDs has fewer messages than the
// mailbox had when it was opened. Such a list does not say which messages are gone.
func CheckComplete(examined wire.Examined, listed uid.Set) error {
	if listed.Len() >= int(examined.Messages) {
		return nil
	}
	return fmt.Errorf("UID SEARCH lists %s of a mailbox that has %d", english.Plural(listed.Len(), "message", ""), examined.Messages)
}

// CheckPlausible returns an error if a list has more UIDs than can have arrived
// since the mailbox was opened.
func CheckPlausible(examined wire.Examined, listed uid.Set) error {
	if listed.Len() <= 2*int(examined.Messages)+1000 {
		return nil
	}
	return fmt.Errorf("UID SEARCH lists %s of a mailbox that has %d", english.Plural(listed.Len(), "message", ""), examined.Messages)
}

// IsComplete reports whether a list has as many messages as the mailbox had when
// it was opened, without counting those that arrived since, which have a UID of
// UIDNEXT or higher (RFC 9051 2.3.1.1). A message that such a list leaves out is gone.
func IsComplete(examined wire.Examined, listed uid.Set) bool {
	if examined.UIDNext > 0 {
		listed = listed.Subtract(uid.Above(examined.UIDNext - 1))
	}
	return listed.Len() >= int(examined.Messages)
}
