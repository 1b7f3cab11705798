package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"archiverd/internal/durable"
)

// foundFile is a whole message file that no journal names.
type foundFile struct {
	event       Event
	uidValidity uint32
}

// findUnnamed returns the message files of b that no journal names and that are whole,
// by path; out gets the others.
func (w *Writer) findUnnamed(b MailboxDir, named map[string]bool, isKnown func(Sum) bool, out *Adopted) (found []foundFile, err error) {
	months, err := w.readNames(b.Dir)
	if err != nil {
		return nil, err
	}
	for _, month := range months {
		if !isMonth(month) {
			continue
		}
		names, err := w.readNames(path.Join(b.Dir, month))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			rel := path.Join(month, n)
			if named[rel] || !isMessageName(rel) {
				continue
			}
			f, isWhole, err := w.checkUnnamed(b, rel, isKnown)
			if err != nil {
				return nil, err
			}
			if !isWhole {
				out.Left = append(out.Left, path.Join(b.Dir, rel))
				continue
			}
			found = append(found, f)
		}
	}
	out.Found = len(found)
	return found, nil
}

// checkUnnamed reads a message file that no journal names. An interrupted write leaves
// whole blocks, or blocks of zeros: a file is whole if the archive knew its sum, or if its
// length is no multiple of a block's and no block of it is all zeros.
func (w *Writer) checkUnnamed(b MailboxDir, rel string, isKnown func(Sum) bool) (f foundFile, isWhole bool, err error) {
	file, err := w.OpenFile(path.Join(b.Dir, rel))
	if errors.Is(err, durable.ErrNotRegular) {
		return f, false, nil
	}
	if err != nil {
		return f, false, err
	}
	defer file.Close()
	blocks := &zeroBlocks{}
	sum, size, err := Hash(io.TeeReader(file, blocks))
	if err != nil {
		return f, false, err
	}
	if !isKnown(sum) && (size%zeroBlockSize == 0 || blocks.found()) {
		return f, false, nil
	}
	m := messageName.FindStringSubmatch(rel)
	uidValidity, err := strconv.ParseUint(m[1], 10, 32)
	if err != nil {
		return f, false, nil
	}
	u, err := strconv.ParseUint(m[2], 10, 32)
	if err != nil || u == 0 {
		return f, false, nil
	}
	f = foundFile{Event{Kind: Added, UID: uint32(u), Path: rel, Size: size, Sum: sum, Flags: []string{}, Matched: matchedFound}, uint32(uidValidity)}
	if when, err := time.Parse("20060102T150405Z", strings.SplitN(path.Base(rel), ".", 2)[0]); err == nil {
		f.event.InternalDate = when
	}
	return f, true, nil
}

// matchedFound is the Matched of a message whose file its owner had adopted.
const matchedFound = "found"

// zeroBlockSize is the size in octets of the smallest block of a disk.
const zeroBlockSize = 512

// zeroBlocks looks for blocks of zeros in what is written to it.
type zeroBlocks struct {
	block []byte
	any   bool
}

// Write never fails.
func (z *zeroBlocks) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		k := min(zeroBlockSize-len(z.block), len(p))
		z.block, p = append(z.block, p[:k]...), p[k:]
		if len(z.block) == zeroBlockSize {
			z.endBlock()
		}
	}
	return n, nil
}

func (z *zeroBlocks) endBlock() {
	z.any = z.any || len(z.block) > 0 && len(bytes.Trim(z.block, "\x00")) == 0
	z.block = z.block[:0]
}

// found reports whether a block was all zeros; the last one may be shorter.
func (z *zeroBlocks) found() bool {
	z.endBlock()
	return z.any
}

// syncFound makes the octets and names of what was found durable: whoever wrote them may
// not have done it.
func (w *Writer) syncFound(b MailboxDir, found []foundFile) error {
	dirs := map[string]bool{}
	for d := b.Dir; d != "."; d = path.Dir(d) {
		dirs[path.Dir(d)] = true
	}
	dirs[b.Dir] = true
	for _, f := range found {
		rel := path.Join(b.Dir, f.event.Path)
		dirs[path.Dir(rel)] = true
		file, err := w.OpenFile(rel)
		if err == nil {
			err = errors.Join(file.Sync(), file.Close())
		}
		if err != nil {
			return fmt.Errorf("make %s durable: %w", rel, err)
		}
	}
	for d := range dirs {
		if err := durable.SyncDirIn(w.root, d); err != nil {
			return err
		}
	}
	return nil
}
