package drill

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"archiverd/internal/durable"
)

// Result is the outcome of a drill of an account.
//
// The last results are in a file beside the state database and not in it, so that
// a drill by hand can be recorded while the daemon has the database open.
type Result struct {
	Account string    `json:"account"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended"`
	Sample  string    `json:"sample"`       // as it was asked for: "100", "5%", "all"
	To      string    `json:"to,omitempty"` // account and mailbox restored into; empty: a throw-away server

	Archived  int   `json:"archived"`  // messages of the account that are in the archive and on the server, by the journals
	Messages  int   `json:"messages"`  // how many of them the drill was to restore and compare
	Mailboxes int   `json:"mailboxes"` // mailboxes that have those messages
	Octets    int64 `json:"octets"`    // of the messages that were read back
	Equal     int   `json:"equal"`     // messages that came back as the archive has them
	Changed   int   `json:"changed"`   // messages that came back with changes that a server may make

	// Differing is how many things were not as they should be, each a
	// Difference, of which the first MaxDifferences are kept.
	Differing   int          `json:"differing"`
	Differences []Difference `json:"differences,omitempty"`
	Notes       []string     `json:"notes,omitempty"`
	// Error says why the drill as a whole broke off.
	Error string `json:"error,omitempty"`
	// LastOK is when a drill, this one included, last ended without a difference;
	// zero if none did. Save sets it.
	LastOK time.Time `json:"last_ok,omitzero"`
}

// Difference is one thing that differs, of a message or a mailbox.
type Difference struct {
	ID      string   `json:"id,omitempty"` // the message's path in the archive; empty: the mailbox as a whole
	Mailbox string   `json:"mailbox"`      // as the archive calls it
	In      []string `json:"in"`           // "missing", "extra", "octets", "flags", "internaldate", "name" or "error"
	What    string   `json:"what"`         // for people
	// Changed says that the real server has made the difference. It is no failure.
	Changed bool `json:"changed,omitempty"`
}

// MaxDifferences is how many differences a result has.
const MaxDifferences = 100

// OK reports whether everything came back as it was.
func (d *Result) OK() bool { return d.Error == "" && d.Differing == 0 }

// recordPath returns the file with the results of the drills.
func recordPath(statePath string) string { return statePath + ".drills" }

// Save stores a result in the place of the account's last one, unless the account
// has nothing archived. The results of other accounts stay, also if they are
// stored at the same time. A file that can't be read is replaced.
func Save(statePath string, d Result) (err error) {
	if d.Archived == 0 && d.OK() {
		return nil // the account has nothing archived: it has no drill to show
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("store the result of the drill: %w", err)
		}
	}()
	root, err := os.OpenRoot(filepath.Dir(statePath))
	if err != nil {
		return err
	}
	defer root.Close()
	// Lock the directory, not the file: the file is replaced.
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := durable.Lock(dir); err != nil {
		return err
	}
	drills, err := Load(statePath)
	if err != nil {
		drills = map[string]Result{}
	}
	d.LastOK = drills[d.Account].LastOK
	if d.OK() {
		d.LastOK = d.Ended
	}
	drills[d.Account] = d
	text, err := json.MarshalIndent(drills, "", " ")
	if err != nil {
		return err
	}
	if err := durable.CheckReplaceable(recordPath(statePath), nil); err != nil {
		return err
	}
	name := filepath.Base(recordPath(statePath))
	// The umask applies to the mode. Replace follows no link that somebody put in
	// the directory, which matters where root runs the drill.
	return durable.Replace(root, name, name+".new", 0o640, func(f *os.File) error {
		_, err := f.Write(append(text, '\n'))
		return errors.Join(err, giveAway(f, dir))
	})
}

// giveAway gives the file to the owner of the directory if root runs the drill: the
// daemon must be able to read and replace it.
func giveAway(f, dir *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return err
	}
	return f.Chown(int(st.Uid), int(st.Gid))
}

// maxRecordOctets is how many octets of the file are read, far more than it has.
const maxRecordOctets = 64 << 20

// Load returns the last result of every account, by its name. It takes no lock. It
// is no error if there was no drill.
func Load(statePath string) (map[string]Result, error) {
	path := recordPath(statePath)
	f, err := durable.OpenRegular(path)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]Result{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the results of drills: %w", err)
	}
	defer f.Close()
	drills := map[string]Result{}
	if err := json.NewDecoder(io.LimitReader(f, maxRecordOctets)).Decode(&drills); err != nil {
		return nil, fmt.Errorf("read the results of drills in %s: %w; the next drill replaces the file", path, err)
	}
	return drills, nil
}
