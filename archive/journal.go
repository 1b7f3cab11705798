package archive

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"strings"
	"time"
)

// maxLine bounds one journal line with its line feed, in octets.
const maxLine = 4 << 20

// Position is a place in a journal right behind a sealed line: how many octets
// stand before it, and the seal that proves them. The zero value is its start.
type Position struct {
	Offset int64
	Seal   string
}

// sealChain is the running seal of a journal: SHA-256 of the seal before, as
// digits, and of every octet since.
type sealChain struct{ h hash.Hash }

func newSealChain(seal string) *sealChain {
	c := &sealChain{sha256.New()}
	c.reset(seal)
	return c
}

func (c *sealChain) reset(seal string) {
	c.h.Reset()
	io.WriteString(c.h, seal)
}

func (c *sealChain) add(octets []byte) { c.h.Write(octets) }

func (c *sealChain) seal() string { return hex.EncodeToString(c.h.Sum(nil)) }

// encodeCommit returns the lines of events and their seal, one commit's octets, and
// the position behind them.
func encodeCommit(from Position, events []Event) ([]byte, Position, error) {
	var b bytes.Buffer
	for i := range events {
		start := b.Len()
		if err := events[i].encodeTo(&b); err != nil {
			return nil, Position{}, err
		}
		if n := b.Len() - start; n > maxLine {
			return nil, Position{}, fmt.Errorf("encode %s: a line of %d octets, over the limit of %d", events[i].Kind, n, maxLine)
		}
	}
	c := newSealChain(from.Seal)
	c.add(b.Bytes())
	seal := c.seal()
	b.WriteString(sealLine(seal))
	return b.Bytes(), Position{from.Offset + int64(b.Len()), seal}, nil
}

// sealLine is the line of a seal with its line feed. It has no other form, for
// no seal covers its own line.
func sealLine(seal string) string { return `{"event":"sealed","seal":"` + seal + "\"}\n" }

// Replay gives fn the events of a mailbox's journal from a position on, which
// an earlier Replay returned, and returns the position behind the last. What
// an interrupted write left behind the last seal is passed over. The error is
// ErrCorrupt when the journal does not fit its seals; the events before the
// fault were given.
func (a *Archive) Replay(b MailboxDir, from Position, fn func(Event) error) (Position, error) {
	name := path.Join(b.Dir, journalName)
	f, err := a.root.Open(name)
	if err != nil {
		return from, fmt.Errorf("open journal: %w", err)
	}
	defer f.Close()
	if _, err := f.Seek(from.Offset, io.SeekStart); err != nil {
		return from, fmt.Errorf("seek journal %s: %w", name, err)
	}
	pos, err := replay(f, from, fn)
	var bad *CorruptError
	if errors.As(err, &bad) {
		bad.Path = name
		before, cerr := countLines(f, from.Offset)
		if cerr != nil {
			return pos, errors.Join(err, cerr)
		}
		bad.Line += before
	}
	return pos, err
}

// errLater ends a replay at an event after the time that is asked for.
var errLater = errors.New("a later event")

// ReplayUntil is Replay from the start of a journal up to the first event stamped
// after a time; zero: to the end. Events stamped exactly `until` are included. The
// order is the journal's: a clock that was set back does not exclude events that
// stand before later ones. Damage after the first event that is excluded is no error.
func (a *Archive) ReplayUntil(b MailboxDir, until time.Time, fn func(Event) error) error {
	_, err := a.Replay(b, Position{}, func(e Event) error {
		if !until.IsZero() && e.At.After(until) {
			return errLater
		}
		return fn(e)
	})
	if errors.Is(err, errLater) {
		err = nil
	}
	return err
}

// replay reads r, which stands at from, group by group: fn gets the events of a
// commit only when its seal fits. It returns the position behind the last good
// seal. What follows that, the tail of an interrupted write, is no error. A
// seal that does not fit, or a line that can't be read among sealed ones, is a
// CorruptError; its Line counts from the position's line.
func replay(r io.Reader, from Position, fn func(Event) error) (Position, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	pos, end := from, from.Offset
	c := newSealChain(from.Seal)
	var (
		group []Event
		line  int
		bad   *CorruptError // the first thing wrong since the last good seal
		lost  bool          // whole blocks since then read as zeros
		hurt  bool          // other octets do, and a journal has none
		seals int           // sealed lines since then
	)
	for {
		text, err := readLine(in)
		if err == io.EOF {
			break // also a last line without its line feed: a torn write
		}
		line++
		if err != nil && !errors.Is(err, bufio.ErrTooLong) {
			return pos, fmt.Errorf("read journal: %w", err)
		}
		if bytes.IndexByte(text, 0) >= 0 {
			whole := isWholeBlocks(text, end, pos.Offset)
			lost, hurt = lost || whole, hurt || !whole
		}
		end += int64(len(text))
		if err != nil {
			bad = firstError(bad, line, "line longer than 4 MiB")
			continue
		}
		e, err := decodeEvent(text[:len(text)-1])
		switch {
		case err != nil:
			bad = firstError(bad, line, err.Error())
			c.add(text)
		case e.Kind != Sealed:
			group = append(group, e)
			c.add(text)
		default:
			seals++
			if bad == nil && (e.seal != c.seal() || string(text) != sealLine(e.seal)) {
				bad = &CorruptError{Line: line, Text: "the seal does not fit what stands before it"}
			}
			if bad != nil {
				continue // a torn write, or corruption: what follows tells
			}
			for _, e := range group {
				if err := fn(e); err != nil {
					return pos, err
				}
			}
			pos = Position{end, e.seal}
			c.reset(e.seal)
			group, seals, lost, hurt = group[:0], 0, false, false
		}
	}
	// Each commit is synced before the next is written, so that a power cut
	// damages the last one only, and what it loses are whole blocks: a broken
	// group that is the last and has zeros in it was never acknowledged.
	if bad != nil && seals > 0 && (seals > 1 || !lost || hurt) {
		return pos, bad
	}
	return pos, nil
}

// isWholeBlocks says whether every run of zeros in text, which stands at octet at,
// begins and ends where a block of the disk does, or begins with the group.
func isWholeBlocks(text []byte, at, group int64) bool {
	const block = 512
	for i := 0; i < len(text); i++ {
		if text[i] != 0 {
			continue
		}
		from := at + int64(i)
		for i < len(text) && text[i] == 0 {
			i++
		}
		if to := at + int64(i); from != group && from%block != 0 || to%block != 0 {
			return false
		}
	}
	return true
}

func firstError(bad *CorruptError, line int, text string) *CorruptError {
	if bad != nil {
		return bad
	}
	return &CorruptError{Line: line, Text: text}
}

// readLine returns the next line with its line feed. io.EOF: none is left, or
// only one without a line feed. bufio.ErrTooLong: the line, of which only the
// last part is returned, is longer than maxLine.
func readLine(in *bufio.Reader) ([]byte, error) {
	text, err := in.ReadSlice('\n')
	if err == nil {
		return text, nil
	}
	whole := bytes.Clone(text)
	long := false
	for errors.Is(err, bufio.ErrBufferFull) {
		text, err = in.ReadSlice('\n')
		if len(whole)+len(text) > maxLine {
			long = true
			whole = whole[:0]
		}
		whole = append(whole, text...)
	}
	if err == nil && long {
		err = bufio.ErrTooLong
	}
	return whole, err
}

// countLines counts the line feeds in the first n octets of f.
func countLines(f *os.File, n int64) (int, error) {
	lines := 0
	buf := make([]byte, 64<<10)
	for r := io.NewSectionReader(f, 0, n); ; {
		k, err := r.Read(buf)
		for _, o := range buf[:k] {
			if o == '\n' {
				lines++
			}
		}
		if err == io.EOF {
			return lines, nil
		}
		if err != nil {
			return lines, fmt.Errorf("read journal: %w", err)
		}
	}
}

// HasPosition says whether pos is a place in the mailbox's journal: the journal's id is
// id, it is at least that long and the seal there is the position's. It reads
// only the line before the position and the journal's first.
func (a *Archive) HasPosition(b MailboxDir, id string, pos Position) (at bool, size int64, err error) {
	f, err := a.root.Open(path.Join(b.Dir, journalName))
	if err != nil {
		return false, 0, fmt.Errorf("open journal: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return false, 0, fmt.Errorf("stat journal: %w", err)
	}
	if pos.Offset == 0 {
		return true, st.Size(), nil
	}
	if pos.Offset > st.Size() {
		return false, st.Size(), nil
	}
	line := sealLine(pos.Seal)
	tail := make([]byte, len(line))
	if _, err := f.ReadAt(tail, max(0, pos.Offset-int64(len(tail)))); err != nil && err != io.EOF {
		return false, 0, fmt.Errorf("read journal: %w", err)
	}
	if string(tail) != line {
		return false, st.Size(), nil
	}
	first := make([]byte, 4<<10)
	n, err := f.ReadAt(first, 0)
	if err != nil && err != io.EOF {
		return false, 0, fmt.Errorf("read journal: %w", err)
	}
	return strings.Contains(string(first[:n]), `"journal":"`+id+`"`), st.Size(), nil
}
