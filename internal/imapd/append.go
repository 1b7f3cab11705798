package imapd

import (
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/emersion/go-imap/v2"
)

// maxInMemory is the size in octets up to which an APPENDed message stays in memory.
const maxInMemory = 64 << 10

// Append handles APPEND (RFC 9051 6.3.12, RFC 4315 3).
func (s *session) Append(name string, r imap.LiteralReader, o *imap.AppendOptions) (*imap.AppendData, error) {
	m, err := s.user.selectable(name)
	if err != nil {
		return nil, tryCreate(err)
	}
	msg := Message{Flags: fromFlags(o.Flags), InternalDate: o.Time}
	if r.Size() <= maxInMemory {
		msg.Body = make([]byte, r.Size())
		_, err = io.ReadFull(r, msg.Body)
	} else {
		msg.Large, err = s.server.spool.write(r, r.Size())
	}
	if err != nil {
		return nil, fmt.Errorf("read literal: %w", err)
	}
	uid, uidValidity := m.append(msg)
	if uid == 0 {
		return nil, errFull()
	}
	return &imap.AppendData{UID: imap.UID(uid), UIDValidity: uidValidity}, nil
}

// errFull returns the reply for a mailbox that has no free UIDs, or that was deleted in
// the meantime.
func errFull() error {
	return &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeLimit, Text: "Mailbox takes no more messages"}
}

// spool is a temporary file without a name that has the large messages of APPEND, one
// after the other. The zero value is ready for use.
type spool struct {
	dir string

	mu   sync.Mutex
	file *os.File
	end  int64
}

// write appends size octets of r. Several goroutines may write at once.
func (p *spool) write(r io.Reader, size int64) (*io.SectionReader, error) {
	file, at, err := p.reserve(size)
	if err != nil {
		return nil, err
	}
	n, err := io.Copy(io.NewOffsetWriter(file, at), r)
	if err != nil {
		return nil, err
	}
	if n != size { // the client disconnected
		return nil, io.ErrUnexpectedEOF
	}
	return io.NewSectionReader(file, at, size), nil
}

func (p *spool) reserve(size int64) (*os.File, int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file == nil {
		file, err := os.CreateTemp(p.dir, "imapd-")
		if err != nil {
			return nil, 0, err
		}
		if err := os.Remove(file.Name()); err != nil { // so that no file remains, however the process ends
			file.Close()
			return nil, 0, err
		}
		p.file = file
	}
	at := p.end
	p.end += size
	return p.file, at, nil
}

func (p *spool) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file == nil {
		return nil
	}
	return p.file.Close()
}
