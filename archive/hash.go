package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"path"
)

// Sum is the SHA-256 of a message's octets.
type Sum [32]byte

// String is the sum in lower-case hexadecimal digits.
func (s Sum) String() string { return fmt.Sprintf("%x", s[:]) }

// MarshalText implements encoding.TextMarshaler.
func (s Sum) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%x", s[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Sum) UnmarshalText(text []byte) error {
	if len(text) != 2*len(s) {
		return fmt.Errorf("invalid SHA-256 %.80q", text)
	}
	if _, err := hex.Decode(s[:], text); err != nil {
		return fmt.Errorf("invalid SHA-256 %.80q", text)
	}
	return nil
}

// Hasher computes the Sum of the octets that are written to it.
type Hasher struct{ h hash.Hash }

// NewHasher returns a Hasher to which nothing has been written.
func NewHasher() *Hasher { return &Hasher{sha256.New()} }

// Write never fails.
func (h *Hasher) Write(p []byte) (int, error) { return h.h.Write(p) }

// Sum is the sum of all octets written so far.
func (h *Hasher) Sum() (s Sum) {
	h.h.Sum(s[:0])
	return s
}

// Hash reads r to its end and returns the sum and the number of the octets.
func Hash(r io.Reader) (sum Sum, size int64, err error) {
	h := NewHasher()
	// Without the wrappers io.CopyBuffer would ignore the buffer and use a smaller one.
	size, err = io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{r}, make([]byte, 64<<10))
	return h.Sum(), size, err
}

// HashFile is Hash for the file at path, relative to the archive.
func (a *Archive) HashFile(path string) (sum Sum, size int64, err error) {
	f, err := a.OpenFile(path)
	if err != nil {
		return sum, 0, err
	}
	defer f.Close()
	return Hash(f)
}

// CheckOctets returns a *MismatchError unless octets of that sum and number are the
// message's.
func (m *Message) CheckOctets(sum Sum, size int64) error {
	if size != m.Size || sum != m.Sum {
		return &MismatchError{Size: size, WantSize: m.Size, Sum: sum, WantSum: m.Sum}
	}
	return nil
}

// CheckFile reads the file of a message of mailbox b whole. The error is a
// *MismatchError if it has other octets than the journal says, and wraps
// fs.ErrNotExist if there is no file.
func (a *Archive) CheckFile(b MailboxDir, m *Message) error {
	sum, size, err := a.HashFile(path.Join(b.Dir, m.Path))
	if err != nil {
		return err
	}
	return m.CheckOctets(sum, size)
}
