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
	"math"
	"os"
	"path"
	"strings"
	"time"

	"archiverd/internal/durable"
)

// maxLine is the most octets of a journal line, with its line feed.
const maxLine = 4 << 20

// Position is a place in a journal directly after a sealed line: the number of octets
// before it, and the seal that proves them. The zero value is the journal's start.
type Position struct {
	Offset int64
	Seal   string
}

// sealChain computes the next seal of a journal: the SHA-256 of the previous seal, in
// hexadecimal digits, and of every octet since.
type sealChain struct{ h hash.Hash }

// newSealChain returns a chain after a seal; "" before the first.
func newSealChain(seal string) *sealChain {
	c := &sealChain{sha256.New()}
	c.reset(seal)
	return c
}

// reset starts the chain anew after a seal.
func (c *sealChain) reset(seal string) {
	c.h.Reset()
	c.h.Write([]byte(seal))
}

func (c *sealChain) add(octets []byte) { c.h.Write(octets) }

func (c *sealChain) seal() string { return hex.EncodeToString(c.h.Sum(nil)) }

// encodeCommit returns the octets of one commit, the lines of the events and their
// seal, and the position after them.
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

// sealLine is the line of a seal with its line feed. No other form is accepted,
// because no seal covers its own line.
func sealLine(seal string) string { return `{"event":"sealed","seal":"` + seal + "\"}\n" }

// Replay calls fn with the events of a mailbox's journal from a position on, zero or
// one that an earlier Replay returned, and returns the position after the last one.
// What an interrupted write left after the last seal is ignored. The error is
// ErrCorrupt if the journal does not fit its seals; fn got the events before the
// fault. An event whose time is earlier than that of one before it, from the position
// on, gets the latest time before it. An error of fn ends the replay and is returned.
func (a *Archive) Replay(b MailboxDir, from Position, fn func(Event) error) (Position, error) {
	return a.replayRange(b, from, math.MaxInt64, fn)
}

// replayRange is Replay of what stands before octet to.
func (a *Archive) replayRange(b MailboxDir, from Position, to int64, fn func(Event) error) (Position, error) {
	name := path.Join(b.Dir, journalName)
	f, err := a.openJournal(b)
	if err != nil {
		return from, err
	}
	defer f.Close()
	if _, err := f.Seek(from.Offset, io.SeekStart); err != nil {
		return from, fmt.Errorf("seek journal %s: %w", name, err)
	}
	pos, err := replay(io.LimitReader(f, to-from.Offset), from, fn)
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

// openJournal opens the journal of a mailbox for reading. Something else than a file in
// its place is a *CorruptError.
func (a *Archive) openJournal(b MailboxDir) (*os.File, error) {
	f, err := a.OpenFile(b.Journal())
	if errors.Is(err, durable.ErrNotRegular) {
		return nil, &CorruptError{b.Journal(), 1, "it is " + notRegularKind(a.root, b.Journal())}
	}
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	return f, nil
}

// notRegularKind says what a file is that is not a regular one.
func notRegularKind(root *os.Root, name string) string {
	info, err := root.Stat(name)
	if err != nil || info.Mode().IsRegular() {
		return "not a regular file"
	}
	return durable.KindName(info.Mode()) + ", not a regular file"
}

// errLater ends a replay at an event after the time that is asked for.
var errLater = errors.New("a later event")

// ReplayUntil is Replay from the start of a journal up to the first event stamped
// after a time; zero: to the end. Events stamped exactly `until` are included. Damage after the first event that is excluded is no error.
func (a *Archive) ReplayUntil(b MailboxDir, until time.Time, fn func(Event) error) error {
	_, err := a.Replay(b, Position{}, func(e Event) error {
		if !HappenedBetween(e.At, time.Time{}, until) {
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
// commit once its seal fits. It returns the position after the last good seal. What
// follows, the tail of an interrupted write, is no error. A seal that does not fit,
// or a line among sealed ones that can't be decoded, is a *CorruptError, whose Line
// counts from the position.
func replay(r io.Reader, from Position, fn func(Event) error) (Position, error) {
	var latest time.Time
	p := &replayer[Event]{fn: func(e Event, _ Position) error { return fn(e) }}
	p.decode = func(line []byte) (e Event, seal string, sealed bool, err error) {
		e, err = decodeEvent(line)
		if err == nil && e.Kind != Sealed {
			// Earlier versions wrote the time of a clock that was set back.
			if e.At.Before(latest) {
				e.At = latest
			}
			latest = e.At
		}
		return e, e.seal, e.Kind == Sealed, err
	}
	return p.replay(r, from)
}

// replayer is one replay of a file of sealed lines: a journal or the checkpoints. E is
// what a line decodes to.
type replayer[E any] struct {
	fn     func(e E, end Position) error // end is the position after e's commit
	decode func(line []byte) (e E, seal string, sealed bool, err error)
	pos    Position // after the last good seal
	end    int64    // of the line that was read last
	chain  *sealChain
	line   int // number of that line

	// Since the last good seal.
	group      []E
	bad        *CorruptError // the first fault
	zeroBlocks bool          // whole blocks read as zeros
	badOctets  bool          // other octets read as zeros, which no journal has
	seals      int           // sealed lines
}

// replay reads r, which stands at from; see the function replay.
func (p *replayer[E]) replay(r io.Reader, from Position) (Position, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	p.pos, p.end, p.chain = from, from.Offset, newSealChain(from.Seal)
	for {
		text, err := readLine(in)
		if err == io.EOF {
			return p.pos, p.corruption() // also after a line without a line feed: a torn write
		}
		tooLong := errors.Is(err, bufio.ErrTooLong)
		if err != nil && !tooLong {
			return p.pos, fmt.Errorf("read journal: %w", err)
		}
		if err := p.add(text, tooLong); err != nil {
			return p.pos, err
		}
	}
}

// add takes the next line, with its line feed. The error is one of fn.
func (p *replayer[E]) add(text []byte, tooLong bool) error {
	p.line++
	if bytes.IndexByte(text, 0) >= 0 {
		whole := isWholeBlocks(text, p.end, p.pos.Offset)
		p.zeroBlocks, p.badOctets = p.zeroBlocks || whole, p.badOctets || !whole
	}
	p.end += int64(len(text))
	if tooLong {
		p.fault("line longer than 4 MiB")
		return nil
	}
	e, seal, sealed, err := p.decode(text[:len(text)-1])
	if err == nil && sealed {
		return p.seal(seal, text)
	}
	if err != nil {
		p.fault(err.Error())
	} else {
		p.group = append(p.group, e)
	}
	p.chain.add(text)
	return nil
}

// seal ends a group: if the seal fits, fn gets the group's events.
func (p *replayer[E]) seal(seal string, text []byte) error {
	p.seals++
	if p.bad == nil && (seal != p.chain.seal() || string(text) != sealLine(seal)) {
		p.fault("the seal does not fit what stands before it")
	}
	if p.bad != nil {
		return nil // a torn write or corruption: the lines that follow decide
	}
	end := Position{p.end, seal}
	for i := range p.group {
		if err := p.fn(p.group[i], end); err != nil {
			return err
		}
	}
	p.pos = end
	p.chain.reset(seal)
	p.group, p.seals, p.zeroBlocks, p.badOctets = p.group[:0], 0, false, false
	return nil
}

// fault records what is wrong with the current line, if it is the first fault.
func (p *replayer[E]) fault(text string) {
	if p.bad == nil {
		p.bad = &CorruptError{Line: p.line, Text: text}
	}
}

// corruption returns the first fault unless an interrupted write explains it. Each
// commit is synced before the next is written, so a power cut damages only the last
// one, and loses whole blocks of it. A broken group that is the last and has zero
// blocks was never acknowledged.
func (p *replayer[E]) corruption() error {
	if p.bad != nil && p.seals > 0 && (p.seals > 1 || !p.zeroBlocks || p.badOctets) {
		return p.bad
	}
	return nil
}

// isWholeBlocks reports whether every run of zeros in text, which stands at octet at,
// begins and ends at the boundary of a disk block, or begins with the group.
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

// readLine returns the next line with its line feed. The error is io.EOF if there is
// none or it has no line feed, and bufio.ErrTooLong if it is longer than maxLine; then
// only its last part is returned.
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

// HasPosition reports whether pos is a place in the mailbox's journal: the journal has
// that id, is at least that long and has the position's seal there. size is the
// journal's size in octets. Only the line before the position and the first line are
// read.
func (a *Archive) HasPosition(b MailboxDir, id string, pos Position) (at bool, size int64, err error) {
	f, err := a.openJournal(b)
	if err != nil {
		return false, 0, err
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
