package archive

import (
	"errors"
	"fmt"
	"strings"

	"archiverd/internal/durable"
)

var (
	// ErrNotArchive is returned when a directory holds no archive.json.
	ErrNotArchive = errors.New("no archive here")
	// ErrLocked is returned when another writer has the archive open.
	ErrLocked = errors.New("another archiverd is writing to this archive")
	// ErrCorrupt is returned when a journal does not fit its seals.
	ErrCorrupt = errors.New("corrupt journal")
	// ErrNewer is returned to a writer when a newer archiverd wrote the archive.
	ErrNewer = errors.New("written by a newer archiverd, which this one must not write to")
	// ErrBroken is returned when an earlier write to the mailbox failed: what it left in
	// the journal is unknown until the journal is repaired.
	ErrBroken = errors.New("an earlier write to this mailbox failed")
	// ErrLost is returned when a mailbox's journal is not, or no longer, what it was.
	ErrLost = errors.New("a part of the archive is lost")
	// ErrNoMessage is returned when the archive has no message with an ID.
	ErrNoMessage = errors.New("no message")
	// ErrNoMailbox is returned when an account has no mailbox of a name.
	ErrNoMailbox = errors.New("no mailbox")
	// ErrTooDeep is returned when a mailbox's name has too many levels.
	ErrTooDeep = fmt.Errorf("mailboxes of over %d levels are not archived", MaxLevels)
	// ErrNoSpace is returned when a write would use the reserve of free space or
	// inodes.
	ErrNoSpace = durable.ErrNoSpace
	// ErrWrite is returned, wrapped, when the archive's file system refuses a write.
	ErrWrite = errors.New("write to the archive")
)

// remedy says what a person can do about a corrupt journal.
const remedy = "put this file back from a backup, or go on with what is good in it: `archiverd rebuild --adopt`"

// checkpointsRemedy says what a person can do about checkpoints that are lost.
const checkpointsRemedy = "put it back from a backup, or begin it anew from the journals as they are: `archiverd rebuild --adopt`"

// Remedy says what a person can do about the loss.
func (e *LossError) Remedy() string {
	if e.Of != "" {
		return fmt.Sprintf("move it back to %s; or, if it shall stay here: `archiverd rebuild --adopt %s`; a copy: move it out of the archive", e.Of, shellWord(e.Dir))
	}
	return fmt.Sprintf("put it back from a backup; or go on with what is left: `archiverd rebuild --adopt %[1]s`; or, if it was removed on purpose: `archiverd forget %[1]s`", shellWord(e.Dir))
}

// shellWord quotes s for a shell if it needs that.
func shellWord(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-@") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// CorruptError is returned when the sealed part of a journal does not fit its
// seals. It wraps ErrCorrupt.
type CorruptError struct {
	Path string // of the journal, relative to the archive
	Line int    // counted from 1
	Text string
}

// Error names file, line and remedy.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s:%d: %s; %s", e.Path, e.Line, e.Text, remedy)
}

// Unwrap returns ErrCorrupt.
func (e *CorruptError) Unwrap() error { return ErrCorrupt }

// LossError is returned when a journal is missing, or is not what its last checkpoint or
// the state database says. It wraps ErrLost.
type LossError struct {
	Dir  string // the mailbox's directory, relative to the archive
	Text string
	Of   string // the mailbox's directory whose journal this one has; "": it has its own
}

// Error names the mailbox's directory and says what is lost.
func (e *LossError) Error() string {
	return fmt.Sprintf("%s: %s; %s", e.Dir, e.Text, e.Remedy())
}

// Unwrap returns ErrLost.
func (e *LossError) Unwrap() error { return ErrLost }

// CheckpointsError is returned when checkpoints.jsonl is missing, corrupt, or not what
// archive.json or the state database say. It wraps ErrLost.
type CheckpointsError struct{ Text string }

// Error says what is wrong with the file.
func (e *CheckpointsError) Error() string {
	return fmt.Sprintf("%s: %s; %s", checkpointsName, e.Text, checkpointsRemedy)
}

// Unwrap returns ErrLost.
func (e *CheckpointsError) Unwrap() error { return ErrLost }

// NoMessageError is returned when no message has the ID. It wraps ErrNoMessage and
// Corrupt.
type NoMessageError struct {
	ID      string
	Corrupt error // of the last journal that could not be read to its end; nil: all could
}

func (e *NoMessageError) Error() string {
	return fmt.Sprintf("%v %q in the archive", ErrNoMessage, e.ID)
}

// Unwrap returns ErrNoMessage and Corrupt.
func (e *NoMessageError) Unwrap() []error { return []error{ErrNoMessage, e.Corrupt} }

// AmbiguousError is returned when an ID is part of the IDs of several messages.
type AmbiguousError struct {
	ID      string
	Matches []string // two of the messages' IDs
}

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("%q is a part of several IDs, of %s among them: give more of it", e.ID, strings.Join(e.Matches, " and "))
}

// NoMailboxError is returned when an account has no mailbox of a name or directory. It
// wraps ErrNoMailbox and Corrupt.
type NoMailboxError struct {
	Mailbox string
	Names   []string // of the account's mailboxes
	Corrupt error    // of journals that could not be read to their end; nil: all could
}

func (e *NoMailboxError) Error() string {
	return fmt.Sprintf("%v %q; there are %q", ErrNoMailbox, e.Mailbox, e.Names)
}

// Unwrap returns ErrNoMailbox and Corrupt.
func (e *NoMailboxError) Unwrap() []error { return []error{ErrNoMailbox, e.Corrupt} }

// MismatchError is returned when a message's file has other octets than its journal
// line says.
type MismatchError struct {
	Size, WantSize int64
	Sum, WantSum   Sum
}

// Error says how the file differs; the caller names the file.
func (e *MismatchError) Error() string {
	if e.Size != e.WantSize {
		return fmt.Sprintf("has %d octets; the journal says %d", e.Size, e.WantSize)
	}
	return fmt.Sprintf("SHA-256 is %s; the journal says %s", e.Sum, e.WantSum)
}
