package search

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"archiverd/archive"
	"archiverd/internal/durable"
)

// The file of an index has no checksums: SQLite would take a changed octet for data. They
// are in a file of their own, whose name ends in sumsSuffix: after sumsMagic the CRC-32C of
// each chunk of the index, big-endian, and at last that of all before it. An update writes
// it when it ends, so the two fit together only while no update is under way or was killed.

const (
	sumsSuffix = ".sums"
	sumsMagic  = "archiverd index sums 1\n"
	chunkSize  = 8192 // octets; the page size of an index
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)

	// errChecksum is returned when an index differs from its checksums.
	errChecksum = errors.New("its checksums do not fit: it is being updated, was not updated to the end, or is damaged")
)

// sums are the checksums of the chunks of an index.
type sums []uint32

// sumChunks reads a file to its end and returns its checksums.
func sumChunks(r io.Reader) (sums, error) {
	var out sums
	buf := make([]byte, chunkSize)
	for {
		n, err := io.ReadFull(r, buf)
		if n > 0 {
			out = append(out, crc32.Checksum(buf[:n], castagnoli))
		}
		if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// readSums reads the checksums of the index at path.
func readSums(path string) (sums, error) {
	f, err := durable.OpenRegular(path + sumsSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errChecksum
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	body, isSums := bytes.CutPrefix(text, []byte(sumsMagic))
	end := len(text) - 4
	if !isSums || len(body)%4 != 0 || len(body) == 0 || binary.BigEndian.Uint32(text[end:]) != crc32.Checksum(text[:end], castagnoli) {
		return nil, errChecksum
	}
	out := make(sums, len(body)/4-1)
	for i := range out {
		out[i] = binary.BigEndian.Uint32(body[4*i:])
	}
	return out, nil
}

// writeSums writes the checksums of the index at path, durably.
func writeSums(path string, perm fs.FileMode) error {
	f, err := durable.OpenRegular(path)
	if err != nil {
		return err
	}
	list, err := sumChunks(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	text := []byte(sumsMagic)
	for _, sum := range list {
		text = binary.BigEndian.AppendUint32(text, sum)
	}
	text = binary.BigEndian.AppendUint32(text, crc32.Checksum(text, castagnoli))
	if err := checkSumsReplaceable(path); err != nil {
		return err
	}
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer root.Close()
	name := filepath.Base(path) + sumsSuffix
	return durable.Replace(root, name, name+".new", perm, func(f *os.File) error { _, err := f.Write(text); return err })
}

// checkSumsReplaceable returns an error that wraps durable.ErrForeign unless the checksums
// of the index at path, and their temporary file, may be replaced.
func checkSumsReplaceable(path string) error {
	isSums := func(f *os.File) (bool, error) {
		head, err := durable.ReadHead(f, len(sumsMagic))
		return string(head) == sumsMagic, err
	}
	if err := archive.CheckReplaceable(path+sumsSuffix, isSums); err != nil {
		return err
	}
	return archive.CheckReplaceable(path+sumsSuffix+".new", isSums)
}

// verifySums compares the whole index at path with its checksums. The error is errChecksum
// if they differ.
func verifySums(path string) error {
	want, err := readSums(path)
	if err != nil {
		return err
	}
	f, err := durable.OpenRegular(path)
	if err != nil {
		return err
	}
	got, err := sumChunks(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if len(got) != len(want) {
		return errChecksum
	}
	for i := range got {
		if got[i] != want[i] {
			return fmt.Errorf("%w (octets %d to %d)", errChecksum, i*chunkSize, (i+1)*chunkSize-1)
		}
	}
	return nil
}

// changeCounter returns what SQLite changes in the header of a file with each transaction
// (https://www.sqlite.org/fileformat.html 1.3.7).
func changeCounter(path string) (string, error) {
	f, err := durable.OpenRegular(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	head, err := durable.ReadHead(f, 100)
	return string(head), err
}
