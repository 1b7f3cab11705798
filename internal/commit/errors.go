package commit

import (
	"errors"
	"syscall"

	"archiverd/archive"
	"archiverd/state"
)

// ErrInterrupted is returned by a run that was stopped. What it had received by then
// is committed.
var ErrInterrupted = errors.New("interrupted; what had been received is archived")

// IsDiskError reports whether an error concerns the file system or the database as a
// whole, so that every other mailbox would fail with it too.
func IsDiskError(err error) bool {
	for _, e := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EIO, archive.ErrNoSpace, state.ErrDamaged, state.ErrFull} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
