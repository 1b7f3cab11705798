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
	"path"
	"strings"
)

// maxLine bounds one journal line with its line feed, in octets.
const maxLine = 4 << 20

// Position is a place in a journal right behind a sealed line: how many octets
// stand before it, and the seal that proves them. The zero value is its start.
type Position struct {
	Offset int64
	Seal   string
}

// remedy is what a person can do about a corrupt journal.
const remedy = "put this file back from a backup, or move the mailbox's directory away and archive it anew"

// CorruptError is returned when the sealed part of a journal does not fit its
// seals. It wraps ErrCorrupt.
type CorruptError struct {
	Path string // of the journal, relative to the archive
	Line int    // counted from 1
	Text string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s:%d: %s; %s", e.Path, e.Line, e.Text, remedy)
}

// Unwrap returns ErrCorrupt.
func (e *CorruptError) Unwrap() error { return ErrCorrupt }

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
func (c *sealChain) seal() string      { return hex.EncodeToString(c.h.Sum(nil)) }

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

// isLocalPath says whether p, from a journal, names a file below its mailbox
// directory as this package would.
func isLocalPath(p string) bool {
	return p != "" && path.Clean(p) == p && !path.IsAbs(p) && p != ".." && !strings.HasPrefix(p, "../") && !strings.ContainsAny(p, "\\\x00")
}
