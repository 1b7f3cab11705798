package session

import (
	"fmt"

	"github.com/dustin/go-humanize/english"

	"archiverd/internal/uid"
	"archiverd/internal/wire"
)

// OpenComplete calls open, which opens a mailbox and lists its UIDs, and calls
// it once more if the list is not complete: messages may have been expunged
// between the two answers. The second list may still not be complete. Nor is a list
// believed at once that has UIDs of UIDNEXT or higher: of these, only those count
// that the second one has too, or whose UIDNEXT is higher than they are.
func OpenComplete(open func() (wire.Opened, error)) (opened wire.Opened, err error) {
	var doubted uid.Set // by the first list
	for try := range 2 {
		if opened, err = open(); err != nil {
			return opened, err
		}
		above := aboveNext(opened)
		if try == 0 {
			doubted = above
		} else {
			opened.UIDs = opened.UIDs.Subtract(above.Subtract(doubted))
		}
		if above.Empty() && CheckComplete(opened.Examined, opened.UIDs) == nil {
			break
		}
	}
	return opened, nil
}

// aboveNext returns the listed UIDs of UIDNEXT or higher. Messages that arrived after the
// mailbox was opened have such.
func aboveNext(opened wire.Opened) uid.Set {
	if opened.UIDNext == 0 {
		return uid.Set{}
	}
	return opened.UIDs.Intersect(uid.Above(opened.UIDNext - 1))
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
