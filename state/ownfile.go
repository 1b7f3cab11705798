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
	if archive.HasOwnName(path) {
		return durable.CheckReplaceable(path, nil)
	}
	return durable.CheckReplaceable(path, isDatabase)
}

const (
	boltMagic    = 0xED0CDAED
	maxBoltPage  = 64 << 10
	magicOffset  = 16 // in a meta page, behind the page's header
	rootOffset   = 32 // of the root bucket's page number
	minBoltPage  = 512
	pageSizeFrom = 24
)

// isDatabase reports whether a file is a database that this package has made, also if it
// is damaged: one of its meta pages begins as bbolt's do, and the names of top-level
// buckets are in it. A file that has no more than meta pages holds nothing and counts.
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
