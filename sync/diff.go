package sync

import (
	"archiverd/internal/uid"
	"archiverd/state"
)

// difference is how a server's UIDs and the recorded ones of a mailbox differ,
// within one UIDVALIDITY.
type difference struct {
	Missing uid.Set // listed by the server and not archived, or failed
	Gone    uid.Set // archived or failed, and not listed
	Present uid.Set // archived and listed
}

// diff compares the UIDs that a server lists with those recorded.
func diff(server uid.Set, recorded state.UIDs) difference {
	return difference{
		Missing: server.Subtract(recorded.Archived),
		Gone:    recorded.Archived.Union(recorded.Failed).Subtract(server),
		Present: recorded.Archived.Intersect(server),
	}
}
