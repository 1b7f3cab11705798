package state

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"

	"archiverd/archive"
	"archiverd/internal/durable"
)

// checkReplaceable returns an error that wraps durable.ErrForeign unless the file at path
// may be opened as a state database, and replaced by a new one: it is missing, blank, has a
// name of the archive's own, or is a database that this package has made.
func checkReplaceable(path string) error {
	return archive.CheckReplaceable(path, isDatabase)
}

const (
	boltMagic    = 0xED0CDAED
	maxBoltPage  = 64 << 10
	magicOffset  = 16 // in a meta page, behind the page's header
	rootOffset   = 32 // of the root bucket's page number
	txOffset     = 64 // of the number of the transaction
	metaEnd      = 80
	minBoltPage  = 512
	pageSizeFrom = 24
)

// isDatabase reports whether a file is a database that this package has made, also if it
// is damaged: one of its meta pages begins as bbolt's do, and the names of top-level
// buckets are in it. A file that has no more than meta pages, or never had a commit, holds
// nothing and counts.
//
// It reads the file directly: other programs keep bbolt files too, and opening one for
// writing may change it.
func isDatabase(f *os.File) (bool, error) {
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	head, err := durable.ReadHead(f, 2*maxBoltPage)
	if err != nil {
		return false, err
	}
	if isUncommitted(head, info.Size()) {
		return true, nil
	}
	found := false
	for at := 0; at+rootOffset+8 <= len(head) && at <= maxBoltPage; at = max(minBoltPage, 2*at) {
		if binary.NativeEndian.Uint32(head[at+magicOffset:]) != boltMagic {
			continue
		}
		found = true
		size := int64(binary.NativeEndian.Uint32(head[at+pageSizeFrom:]))
		page := int64(binary.NativeEndian.Uint64(head[at+rootOffset:]) & (1<<40 - 1))
		if size <= maxBoltPage && hasOwnBuckets(io.NewSectionReader(f, page*size, 2*size)) {
			return true, nil
		}
	}
	if !found {
		return false, nil
	}
	return info.Size() <= 2*int64(os.Getpagesize()) || hasOwnBuckets(io.NewSectionReader(f, 0, info.Size())), nil
}

// isUncommitted reports whether a file with that head and size is a new bbolt file whose
// first commit did not end: a crash during Rebuild leaves it. Either both meta pages are
// still the first ones, whatever pages of the commit are behind them, or the file is a part
// of the four pages that bbolt writes at once when it makes a file.
func isUncommitted(head []byte, size int64) bool {
	pages := make([][]byte, 4)
	for i := range pages {
		n := min(os.Getpagesize(), len(head))
		pages[i], head = head[:n], head[n:]
	}
	if isFirstMeta(pages[0], 0) && isFirstMeta(pages[1], 1) {
		return true
	}
	for i, p := range pages {
		if !isFirstMeta(p, i) && !isEmptyPage(p, i) {
			return false
		}
	}
	return size <= 4*int64(os.Getpagesize())
}

// isFirstMeta reports whether a page is the meta page at that place as bbolt makes it with
// a file: each commit writes its own number over one of the two.
func isFirstMeta(page []byte, place int) bool {
	return place < 2 && len(page) >= metaEnd && binary.NativeEndian.Uint32(page[magicOffset:]) == boltMagic &&
		binary.NativeEndian.Uint64(page[txOffset:]) == uint64(place)
}

// isEmptyPage reports whether a page has nothing but zeros, or but the header of the page
// at that place with no entry.
func isEmptyPage(page []byte, place int) bool {
	if len(page) >= magicOffset && binary.NativeEndian.Uint64(page) == uint64(place) && binary.NativeEndian.Uint32(page[magicOffset-4:]) == 0 {
		page = page[10:] // behind the page's number and kind
	}
	return len(bytes.TrimLeft(page, "\x00")) == 0
}

// hasOwnBuckets reports whether r has the names of two buckets that no other program's
// database has both.
func hasOwnBuckets(r io.Reader) bool {
	names := [][]byte{candidatesBucket, mailboxesBucket}
	overlap := 0
	buf := make([]byte, 1<<20)
	for {
		n, err := io.ReadFull(r, buf[overlap:])
		part := buf[:overlap+n]
		for i, name := range names {
			if name != nil && bytes.Contains(part, name) {
				names[i] = nil
			}
		}
		if names[0] == nil && names[1] == nil {
			return true
		}
		if err != nil {
			return false
		}
		overlap = copy(buf, part[len(part)-len(candidatesBucket):])
	}
}
