package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"
)

// Checkpoint is a place in a journal up to which it was durable: a journal proves by
// its seals what it holds, but not that it, or its end, is there at all.
type Checkpoint struct {
	Journal string // the journal's random id
	Position
}

// CheckpointsMark is a place in checkpoints.jsonl. The state database remembers the last
// one: it tells the file from one that was cut, replaced or put back from a backup. The
// zero value stands for no file.
type CheckpointsMark struct {
	ID   string // the file's random id
	Part int    // how often it was written anew, from 1
	Position
}

// The events of checkpoints.jsonl, in docs/format.md.
const (
	checkpointsBegun = "begun"     // the file, or a part of it, begins
	committedWord    = "committed" // what a journal was after a run
	forgottenWord    = "forgotten" // the owner removed the mailbox on purpose
	acceptedWord     = "accepted"  // the owner goes on with the journal as it is
)

// checkpointLine is one line of checkpoints.jsonl. Event says which fields count.
type checkpointLine struct {
	Event       string `json:"event"`
	V           int    `json:"v,omitempty"`
	At          string `json:"at"`
	Archive     string `json:"archive,omitempty"`
	Checkpoints string `json:"checkpoints,omitempty"`
	Part        int    `json:"part,omitempty"`
	Continues   string `json:"continues,omitempty"` // the last seal of the part before
	Mailbox     string `json:"mailbox,omitempty"`   // the directory, relative to the archive
	Journal     string `json:"journal,omitempty"`
	Octets      int64  `json:"octets,omitempty"`
	Seal        string `json:"seal,omitempty"`
	Reason      string `json:"reason,omitempty"`
	Lost        string `json:"lost,omitempty"`
}

// checkpoint is the place that the line names.
func (l *checkpointLine) checkpoint() Checkpoint {
	return Checkpoint{l.Journal, Position{l.Octets, l.Seal}}
}

// decodeCheckpointLine decodes a line without its line feed, for a replayer.
func decodeCheckpointLine(text []byte) (l checkpointLine, seal string, sealed bool, err error) {
	if err := json.Unmarshal(text, &l); err != nil {
		return l, "", false, fmt.Errorf("decode: %w", err)
	}
	switch l.Event {
	case string(Sealed):
		return l, l.Seal, true, nil
	case checkpointsBegun:
		if l.Checkpoints == "" || l.Part < 1 {
			err = errors.New("decode begun: no id or part")
		}
	case committedWord, acceptedWord, forgottenWord:
		if !fs.ValidPath(l.Mailbox) || l.Octets < 0 || l.Event != forgottenWord && (l.Journal == "" || l.Octets == 0 || len(l.Seal) != 64) {
			err = fmt.Errorf("decode %s: no place in a journal", l.Event)
		}
	}
	return l, "", false, err
}

// encodeCheckpoints returns the octets of one commit of checkpoint lines, and the
// position after it.
func encodeCheckpoints(from Position, lines []checkpointLine) ([]byte, Position, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // a person reads this
	for i := range lines {
		if err := enc.Encode(&lines[i]); err != nil {
			return nil, Position{}, fmt.Errorf("encode checkpoint: %w", err)
		}
	}
	c := newSealChain(from.Seal)
	c.add(b.Bytes())
	seal := c.seal()
	b.WriteString(sealLine(seal))
	return b.Bytes(), Position{from.Offset + int64(b.Len()), seal}, nil
}

// Checkpoints is what checkpoints.jsonl says. A zero ID means that there is no file, or
// nothing sealed in it. Its last seal stands for the whole archive: it covers the last
// seal of each journal, and so each line and the sum of each message.
type Checkpoints struct {
	CheckpointsMark                      // the end: after the last good seal
	size            int64                // of the file, in octets
	corrupt         *CorruptError        // nil: the file fits its seals
	newer           bool                 // a newer archiverd has written to it
	known           map[string]*lastWord // by the mailbox's directory
	dirs            map[string]string    // the directory of each journal, by its id
	seals           map[int64]string     // the seal that ends at an octet
	commits         []Position           // every commit's end, in order
	continues       string               // the last seal of the part before; "" in part 1
	lastAt          string               // of the last line
}

// lastWord is the last that the checkpoints say of a mailbox.
type lastWord struct {
	Checkpoint
	isForgotten bool
	reason      string         // of a forgotten mailbox
	decidedAt   int64          // end of the last commit in which the owner decided about it; 0: never
	decided     checkpointLine // the owner's decision
}

// ReadCheckpoints reads checkpoints.jsonl.
func (a *Archive) ReadCheckpoints() (*Checkpoints, error) {
	f, err := a.OpenFile(checkpointsName)
	if errors.Is(err, fs.ErrNotExist) {
		return newCheckpoints(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("open checkpoints: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("stat checkpoints: %w", err)
	}
	c, err := readCheckpointsFrom(f)
	if c != nil {
		c.size = max(st.Size(), c.Offset)
	}
	return c, err
}

func newCheckpoints() *Checkpoints {
	return &Checkpoints{known: map[string]*lastWord{}, dirs: map[string]string{}, seals: map[int64]string{}}
}

// readCheckpointsFrom reads a file of checkpoints to its end.
func readCheckpointsFrom(r io.Reader) (*Checkpoints, error) {
	c := newCheckpoints()
	p := &replayer[checkpointLine]{fn: c.apply, decode: decodeCheckpointLine}
	_, err := p.replay(r, Position{})
	if errors.As(err, &c.corrupt) {
		c.corrupt.Path, err = checkpointsName, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", checkpointsName, err)
	}
	return c, nil
}

// readCheckpointsUntil reads a file of checkpoints up to the commit with that seal; nil:
// there is none.
func readCheckpointsUntil(r io.Reader, seal string) (*Checkpoints, error) {
	c := newCheckpoints()
	p := &replayer[checkpointLine]{decode: decodeCheckpointLine, fn: func(l checkpointLine, end Position) error {
		if c.Seal == seal && end.Seal != seal {
			return errLater
		}
		return c.apply(l, end)
	}}
	_, err := p.replay(r, Position{})
	if err != nil && !errors.Is(err, errLater) && !errors.Is(err, ErrCorrupt) {
		return nil, fmt.Errorf("%s: %w", checkpointsName, err)
	}
	if c.Seal != seal {
		return nil, nil
	}
	return c, nil
}

// apply adds a line of the commit that ends at end.
func (c *Checkpoints) apply(l checkpointLine, end Position) error {
	if n := len(c.commits); n == 0 || c.commits[n-1] != end {
		c.commits = append(c.commits, end)
		c.seals[end.Offset] = end.Seal
		c.Position = end
	}
	c.lastAt = max(c.lastAt, l.At)
	switch l.Event {
	case checkpointsBegun:
		c.ID, c.Part, c.continues = l.Checkpoints, l.Part, l.Continues
		c.newer = c.newer || l.V > FormatVersion
	case committedWord, acceptedWord, forgottenWord:
		c.applyWord(l, end)
	default:
		c.newer = true
	}
	return nil
}

// applyWord adds a line about a mailbox.
func (c *Checkpoints) applyWord(l checkpointLine, end Position) {
	w := c.known[l.Mailbox]
	if w == nil {
		w = &lastWord{}
		c.known[l.Mailbox] = w
	}
	if c.dirs[w.Journal] == l.Mailbox {
		delete(c.dirs, w.Journal)
	}
	w.Checkpoint, w.isForgotten, w.reason = l.checkpoint(), l.Event == forgottenWord, l.Reason
	if !w.isForgotten {
		c.dirs[l.Journal] = l.Mailbox
	}
	if l.Event != committedWord {
		w.decidedAt, w.decided = end.Offset, l
	}
}

// of returns the checkpoint of a mailbox; zero: it has none, or was forgotten.
func (c *Checkpoints) of(dir string) Checkpoint {
	if w := c.known[dir]; w != nil && !w.isForgotten {
		return w.Checkpoint
	}
	return Checkpoint{}
}

// isVoid reports whether what the state database knows of a mailbox's journal is older
// than the checkpoints' word on it. mark is the database's.
func (c *Checkpoints) isVoid(dir string, mark CheckpointsMark) bool {
	w := c.known[dir]
	if w == nil {
		return false
	}
	return mark.ID != c.ID || mark.Part != c.Part || w.decidedAt > mark.Offset
}

// isDecidedSince reports whether the owner has decided about a mailbox since before was
// read.
func (c *Checkpoints) isDecidedSince(dir string, before *Checkpoints) bool {
	now, was := c.known[dir], before.known[dir]
	switch {
	case now == nil || was == nil:
		return now != was
	case c.Part != before.Part: // where a decision stands has changed
		return now.Checkpoint != was.Checkpoint || now.isForgotten != was.isForgotten
	}
	return now.decidedAt != was.decidedAt
}

// check returns an error if the file is not what archive.json and the state database
// know: named is the id that archive.json has, mark the database's last place in it.
func (c *Checkpoints) check(named string, mark CheckpointsMark) error {
	switch {
	case c.corrupt != nil:
		return &CheckpointsError{fmt.Sprintf("line %d: %s", c.corrupt.Line, c.corrupt.Text)}
	case named != "" && c.ID == "":
		return &CheckpointsError{"it is missing, and archive.json names it"}
	case named != "" && c.ID != named:
		return &CheckpointsError{"it is not the file that archive.json names"}
	case mark.ID == "":
	case c.ID != mark.ID:
		return &CheckpointsError{"it is not the file that the state database knows"}
	case mark.Part > c.Part, mark.Part == c.Part && c.seals[mark.Offset] != mark.Seal:
		return &CheckpointsError{"it is older than the state database, or was cut: if the whole archive was put back from a backup, `archiverd rebuild` goes on from there"}
	}
	if c.newer {
		return fmt.Errorf("%s: %w", checkpointsName, ErrNewer)
	}
	return nil
}

// timeNotBefore returns now in the form of a line, or the time of the last line if that
// is later: time never falls within the file.
func (c *Checkpoints) timeNotBefore(now time.Time) string {
	return max(c.lastAt, now.UTC().Format(time.RFC3339))
}
