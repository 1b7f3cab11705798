package search

import (
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"os"

	"modernc.org/sqlite/vfs"

	"archiverd/internal/durable"
)

// verifiedName is the name of the index in its verifiedFS.
const verifiedName = "index"

// verifiedFS is a file system with one file, the index, for reading. It gives SQLite only
// octets that have their checksums. So a search sees the index as it was when its last
// update ended, without locks: a chunk that an update has changed since, or that is
// damaged, is an error, and the archive itself is searched.
type verifiedFS struct {
	path string
	sums sums
	err  error // of the first read that failed; SQLite tells only that one did
}

// openVerified opens the index at path for reading.
func openVerified(path string) (*indexFile, error) {
	list, err := readSums(path)
	if err != nil {
		return nil, err
	}
	v := &verifiedFS{path: path, sums: list}
	name, registered, err := vfs.New(v)
	if err != nil {
		return nil, err
	}
	file, err := openSQLiteURI("file:"+verifiedName, "ro", name)
	if err != nil {
		return nil, errors.Join(err, registered.Close())
	}
	file.verified, file.registered = v, registered
	return file, nil
}

// Open opens the index. SQLite asks for its journal too, which no search needs.
func (v *verifiedFS) Open(name string) (fs.File, error) {
	if name != verifiedName {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	f, err := durable.OpenRegular(v.path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && (info.Size()+chunkSize-1)/chunkSize != int64(len(v.sums)) {
		err = errChecksum
		v.err = err
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &verifiedFile{File: f, fs: v, chunk: -1}, nil
}

// verifiedFile is the open index. It belongs to one connection of SQLite.
type verifiedFile struct {
	*os.File
	fs     *verifiedFS
	offset int64
	chunk  int64  // number of the chunk in buf, -1: none
	buf    []byte // its octets
}

// Seek sets where the next Read begins.
func (f *verifiedFile) Seek(offset int64, whence int) (int64, error) {
	if whence != io.SeekStart {
		return 0, errors.ErrUnsupported
	}
	f.offset = offset
	return offset, nil
}

// Read reads octets of one chunk, all of which it verifies.
func (f *verifiedFile) Read(p []byte) (int, error) {
	if err := f.load(f.offset / chunkSize); err != nil {
		return 0, err
	}
	start := f.offset % chunkSize
	if start >= int64(len(f.buf)) {
		return 0, io.EOF
	}
	n := copy(p, f.buf[start:])
	f.offset += int64(n)
	return n, nil
}

// load reads and verifies a chunk.
func (f *verifiedFile) load(chunk int64) error {
	if chunk == f.chunk {
		return nil
	}
	if chunk >= int64(len(f.fs.sums)) {
		return io.EOF
	}
	if f.buf == nil {
		f.buf = make([]byte, chunkSize)
	}
	f.chunk = -1
	n, err := f.ReadAt(f.buf[:chunkSize], chunk*chunkSize)
	if err != nil && !errors.Is(err, io.EOF) {
		f.fs.err = err
		return err
	}
	if crc32.Checksum(f.buf[:n], castagnoli) != f.fs.sums[chunk] {
		f.fs.err = errChecksum
		return errChecksum
	}
	f.buf, f.chunk = f.buf[:n], chunk
	return nil
}
