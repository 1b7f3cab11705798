package sync

import (
	"archiverd/internal/uid"
	"archiverd/state"
)

// Difference is what a server's mailbox and the archive's do not have in
// common, and what they have.
type Difference struct {
	Missing uid.Set // listed by the server, not archived: never, or not successfully
	Gone    uid.Set // archived, or failed, and no longer listed
	Here    uid.Set // archived and listed
}

// Diff compares the UIDs that a server lists with those of the archive, within
// one UIDVALIDITY.
func Diff(server uid.Set, have state.UIDs) Difference {
	return Difference{
		Missing: server.Subtract(have.Archived),
		Gone:    have.Archived.Union(have.Failed).Subtract(server),
		Here:    have.Archived.Intersect(server),
	}
}
