// Package export copies messages of an archive to where other programs read them: a
// tree of .eml files, mbox files, a Maildir, or one zip or tar.zst file.
//
// # Guarantees
//
// The octets of every message are checked against the SHA-256 in the journal while
// they are copied; a damaged message is reported and left out. A file gets its name
// when it is complete and on disk. No existing file is overwritten: an equal one
// counts as done, so that an interrupted export is repeated with the same command; a
// different one is an error of that file, and the export continues. No name leads out
// of the target. The files are copies, never links into the archive.
package export

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"
	gosync "sync"
	"syscall"
	"time"

	"archiverd/archive"
	"archiverd/archive/history"
	"archiverd/internal/durable"
)

// Format is what an export writes.
type Format string

// The formats.
const (
	EML     Format = "eml"     // a tree of directories with .eml files
	Mbox    Format = "mbox"    // a tree of mbox files, as mboxrd
	Mboxo   Format = "mboxo"   // the same as mboxo
	Mboxcl2 Format = "mboxcl2" // the same as mboxcl2
	Maildir Format = "maildir" // a Maildir for each account
	Zip     Format = "zip"     // one file, laid out as an archive, with its journals
	TarZst  Format = "tar.zst" // the same
)

// Formats returns all formats.
func Formats() []Format { return []Format{EML, Mbox, Mboxo, Mboxcl2, Maildir, Zip, TarZst} }

var (
	// ErrTaken is returned when another file has the name of a file to be written.
	ErrTaken = errors.New("something else is there already, and was left as it is")
	// ErrBusy is returned while another export writes to the same target.
	ErrBusy = errors.New("another export is writing there")
	// ErrInside is returned when the target lies in the archive.
	ErrInside = errors.New("the target lies in the archive, where only archiverd's own files may be")
)

// Export is one export. The exported fields are set before Run.
type Export struct {
	Archive   *archive.Archive
	Selection history.Selection
	// Whole says that the selection means whole mailboxes as they are now. Then
	// empty ones are exported too, and zip and tar.zst hold every message that a
	// journal names, even those that are gone: unpacked they are an archive.
	Whole  bool
	Format Format
	// Target is a directory, created if it is missing. For Zip and TarZst it is a
	// file, and for the mbox formats one file for all mailboxes if it ends in
	// .mbox.
	Target string
	Nested bool // use the nested layout of a Maildir, not Maildir++

	mu       gosync.Mutex // guards progress and the report of the current mailbox
	progress Progress
}

// Progress is how far an export has come.
type Progress struct {
	Mailbox  string // being exported
	Messages int    // selected so far
	Done     int    // of those, processed
	Octets   int64  // of those processed
}

// Progress returns how far Run is. It may be called while Run runs.
func (e *Export) Progress() Progress {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.progress
}

// Report is the result of an export.
type Report struct {
	Target    string    `json:"target"`
	Format    Format    `json:"format"`
	Started   time.Time `json:"started"`
	Ended     time.Time `json:"ended"`
	Mailboxes []Mailbox `json:"mailboxes"`
	Sum       Mailbox   `json:"sum"` // the sums over Mailboxes
	Notices   []string  `json:"notices,omitempty"`
	Error     string    `json:"error,omitempty"` // why it ended early
}

// Mailbox is the result for one mailbox: Selected = Present + Written + Damaged +
// Failed, unless Error is set.
type Mailbox struct {
	Account  string    `json:"account,omitempty"`
	Mailbox  string    `json:"mailbox,omitempty"`
	Path     string    `json:"path,omitempty"`    // below the target
	Selected int       `json:"selected"`          // messages
	Present  int       `json:"present"`           // of those, present before
	Written  int       `json:"written"`           // of those, written
	Damaged  int       `json:"damaged"`           // of those, left out: they are not what the journal says
	Failed   int       `json:"failed"`            // messages of Selected that were not written because of an error
	Altered  int       `json:"altered"`           // of Present and Written, not stored exactly by the format
	Octets   int64     `json:"octets"`            // of Present and Written, as in the archive
	Trouble  []Trouble `json:"trouble,omitempty"` // the first maxTrouble of each kind
	Error    string    `json:"error,omitempty"`
	Corrupt  bool      `json:"corrupt,omitempty"` // Error is about its journal
}

// Trouble is a problem with one message.
type Trouble struct {
	ID     string `json:"id"`
	Kind   string `json:"kind"` // damaged, failed, altered
	Reason string `json:"reason"`
}

// Kinds of Trouble.
const (
	Damaged = "damaged"
	Failed  = "failed"
	Altered = "altered"
)

// maxTrouble is how many messages of each kind a mailbox lists.
const maxTrouble = 20

// OK reports whether everything that was selected is in the target.
func (r *Report) OK() bool {
	return r.Error == "" && r.Sum.Damaged == 0 && r.Sum.Failed == 0 && !r.hasMailbox(func(m *Mailbox) bool { return m.Error != "" })
}

// Damage reports whether something in the archive is damaged.
func (r *Report) Damage() bool {
	return r.Sum.Damaged > 0 || r.hasMailbox(func(m *Mailbox) bool { return m.Corrupt })
}

func (r *Report) hasMailbox(is func(*Mailbox) bool) bool {
	for i := range r.Mailboxes {
		if is(&r.Mailboxes[i]) {
			return true
		}
	}
	return false
}

// errInterrupted is the error of a Report whose context was cancelled.
var errInterrupted = errors.New("interrupted")

// Run exports. It returns an error only before anything was written; later errors
// are in the report.
func (e *Export) Run(ctx context.Context) (*Report, error) {
	target, err := filepath.Abs(e.Target)
	if err != nil {
		return nil, err
	}
	if durable.IsInside(target, e.Archive.Path()) {
		return nil, fmt.Errorf("export to %s: %w", e.Target, ErrInside)
	}
	w, err := e.openWriter(target)
	if err != nil {
		return nil, fmt.Errorf("export to %s: %w", e.Target, err)
	}
	r := &Report{Target: e.Target, Format: e.Format, Started: time.Now(), Mailboxes: []Mailbox{}}
	err = w.run(ctx, r)
	if ctx.Err() != nil {
		err = errInterrupted
	}
	if err = errors.Join(err, w.close()); err != nil {
		r.Error = err.Error()
	}
	for i := range r.Mailboxes {
		r.Sum.add(&r.Mailboxes[i])
	}
	r.Ended = time.Now()
	return r, nil
}

func (m *Mailbox) add(o *Mailbox) {
	m.Selected += o.Selected
	m.Present += o.Present
	m.Written += o.Written
	m.Damaged += o.Damaged
	m.Failed += o.Failed
	m.Altered += o.Altered
	m.Octets += o.Octets
}

// isFatal reports whether an error is one of the target disk, or an interruption:
// every further message would fail as well.
func isFatal(err error) bool {
	for _, e := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EIO, context.Canceled} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// dirNames returns the directories of a mailbox below that of its account.
func dirNames(b archive.MailboxDir) []string {
	return strings.Split(strings.TrimPrefix(b.Dir, b.Account+"/"), "/")
}

// messageDate returns the INTERNALDATE of a message, or else the time when it was
// archived.
func messageDate(m *archive.Message) time.Time {
	if m.InternalDate.IsZero() {
		return m.Added
	}
	return m.InternalDate
}

// fileName returns the name of the file of a message.
func fileName(m *archive.Message) string { return path.Base(m.Path) }
