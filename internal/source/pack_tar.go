package source

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/klauspost/compress/zstd"

	"archiverd/internal/durable"
)

// readTar reads a tar.zst. Its messages are unpacked to a temporary file without a
// name: a message is read more than once, and a tar can only be read forwards.
func (p *pack) readTar(ctx context.Context) error {
	file, info, err := openFile(p.path)
	if err != nil {
		return err
	}
	defer file.Close()
	z, err := zstd.NewReader(file, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return err
	}
	defer z.Close()
	spool, err := os.CreateTemp("", "archiverd-import-")
	if err != nil {
		return err
	}
	p.finder.found.closers = append(p.finder.found.closers, spool)
	if err := os.Remove(spool.Name()); err != nil {
		return err
	}
	u := &unpacker{pack: p, spool: spool, most: minUnpacked + maxRatio*info.Size(), opened: map[string]func() (io.Reader, error){}}
	t := tar.NewReader(stoppableStream{ctx.Err, z})
	for entries := 0; ; entries++ {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if entries == maxEntries {
			return errTooMany
		}
		if err != nil {
			return fmt.Errorf("it is damaged or cut off; what stands before that is taken: %w", err)
		}
		if err := u.entry(ctx, h, t); err != nil {
			return err
		}
	}
}

// Mail packs to a third, and to a fiftieth where it is all alike. Beyond maxRatio, and
// minUnpacked octets more, it is made to fill the disk. Free space is looked at after
// each spaceCheckOctets.
const (
	maxRatio         = 100
	minUnpacked      = 256 << 20
	spaceCheckOctets = 16 << 20
)

// unpacker unpacks the messages of one tar.
type unpacker struct {
	pack   *pack
	spool  *os.File                             // Found.Close closes it
	end    int64                                // the size of spool
	most   int64                                // how far end may go
	opened map[string]func() (io.Reader, error) // the messages so far, by name: a later link may point to one
}

// entry adds one entry of the tar, whose octets r reads.
func (u *unpacker) entry(ctx context.Context, h *tar.Header, r io.Reader) error {
	p := u.pack
	name, target := strings.TrimPrefix(h.Name, "./"), strings.TrimPrefix(h.Linkname, "./")
	isLink := h.Typeflag == tar.TypeLink
	if h.Typeflag == tar.TypeDir || !p.isWanted(name, isLink || h.Typeflag == tar.TypeReg) {
		return nil
	}
	journal := isJournal(name)
	switch open := u.opened[target]; {
	case isLink && (open == nil || journal):
		p.finder.addFailure(p.describe(name), errLink)
	case isLink:
		u.add(name, h, open)
	case h.Size > maxMessage || journal && h.Size > maxJournals-p.octets:
		p.finder.addFailure(p.describe(name), errTooLarge)
	case journal:
		p.readJournal(ctx, name, r)
	default:
		open, err := u.unpack(name, h.Size, r)
		if err != nil {
			return err
		}
		u.add(name, h, open)
	}
	return nil
}

func (u *unpacker) add(name string, h *tar.Header, open func() (io.Reader, error)) {
	u.opened[name] = open
	u.pack.entries = append(u.pack.entries, entry{name, h.ModTime, open})
}

// unpack writes a message to the spool and returns a function that reads it there.
func (u *unpacker) unpack(name string, size int64, r io.Reader) (func() (io.Reader, error), error) {
	from := u.end
	switch {
	case u.end+size > u.most:
		return nil, fmt.Errorf("%s: it unpacks to over %d times its size; what stands before that is taken: unpack it yourself if it is what it should be", name, maxRatio)
	case u.end/spaceCheckOctets != (u.end+size)/spaceCheckOctets:
		if err := durable.CheckFreeSpace(u.spool, size); err != nil {
			return nil, fmt.Errorf("unpack %s in %s: %w; set TMPDIR to a directory with more free space", name, os.TempDir(), err)
		}
	}
	n, err := io.Copy(u.spool, r)
	if full := (*fs.PathError)(nil); errors.As(err, &full) && full.Path == u.spool.Name() {
		return nil, fmt.Errorf("unpack %s in %s: %w; set TMPDIR to a directory with more free space", name, os.TempDir(), full.Err)
	}
	if u.end += n; err != nil {
		return nil, fmt.Errorf("it is damaged or cut off in %s; what stands before that is taken: %w", name, err)
	}
	return func() (io.Reader, error) { return io.NewSectionReader(u.spool, from, n), nil }, nil
}
