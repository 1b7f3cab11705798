package sync

import (
	"fmt"
	"slices"
	gosync "sync"

	"archiverd/internal/wire"
)

// sizeTrust is what a job has learnt about a server's RFC822.SIZE. It should be the
// number of octets of the body (RFC 9051 6.4.5). Where it is not, the body may be cut,
// or another message's; or the server counts in another way, always the same one.
type sizeTrust struct {
	mu       gosync.Mutex // guards all below
	exact    int          // bodies of the size announced
	other    int          // bodies of another size
	unsized  int          // bodies of messages without a size
	examples []sizeExample
	loaded   bool // examples of earlier runs have been added
}

// sizeExample is a body that has not as many octets as announced.
type sizeExample struct {
	id              string // of the message
	announced, size int64
	lines           int64 // line feeds
	isStable        bool  // the same octets came in two downloads
}

// A server counts in another way if the sizes of minAlike messages differ alike. Of the
// last messages maxExamples are known, those that came twice the same first.
const (
	minAlike    = 3
	maxExamples = 256
)

// minUnsized is how many bodies of messages without a size must come, and more than exact
// ones, until such a body is taken without a second download.
const minUnsized = 16

// addExact counts a body of the size announced.
func (s *sizeTrust) addExact() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exact++
}

// add adds an example, or what is known of it now. A body that ends with its header is
// none: a server that cuts all bodies off must not prove by that how it counts.
func (s *sizeTrust) add(x sizeExample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addLocked(x)
}

// addLocked is add with s.mu locked.
func (s *sizeTrust) addLocked(x sizeExample) {
	for i := range s.examples {
		if s.examples[i].id == x.id {
			s.examples[i] = x
			return
		}
	}
	s.other++
	if len(s.examples) < maxExamples {
		s.examples = append(s.examples, x)
		return
	}
	for i := range s.examples {
		if !s.examples[i].isStable || x.isStable {
			s.examples[i] = x
			return
		}
	}
}

// remove removes an example: its octets are others at each download.
func (s *sizeTrust) remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.examples = slices.DeleteFunc(s.examples, func(x sizeExample) bool { return x.id == id })
}

// addEarlier adds the examples of earlier runs, once.
func (s *sizeTrust) addEarlier(load func() []sizeExample) {
	s.mu.Lock()
	loaded := s.loaded
	s.loaded = true
	s.mu.Unlock()
	if loaded {
		return
	}
	examples := load() // it reads files
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range examples {
		s.addLocked(x)
	}
}

// acceptUnsized counts a body of a message without a size, and reports whether it can be
// taken without a second download.
func (s *sizeTrust) acceptUnsized() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unsized++
	return s.unsized > minUnsized && s.unsized > s.exact
}

// isKnown reports whether the server's sizes are known to differ as this one does.
func (s *sizeTrust) isKnown(announced int64, b *bodyTraits) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.isConstant(announced, b.size) || s.isByLines(announced, b.size, b.lines) || s.isEstimate()
}

// areAlike reports whether so many of the examples that differ alike show how the server
// counts: by chance some of many do.
func (s *sizeTrust) areAlike(n int) bool { return n >= minAlike && 2*n >= len(s.examples) }

// isConstant reports whether several bodies have as many octets more or fewer than
// announced.
func (s *sizeTrust) isConstant(announced, size int64) bool {
	n := 0
	for _, x := range s.examples {
		if x.size-x.announced == size-announced {
			n++
		}
	}
	return s.areAlike(n)
}

// isByLines reports whether the server counts each line end as one octet less or more
// than it sends: with LF for CRLF, or with CRLF for LF, or twice.
func (s *sizeTrust) isByLines(announced, size, lines int64) bool {
	fewer, more := announced == size-lines, announced == size+lines
	if lines == 0 || !fewer && !more {
		return false
	}
	n := 0
	for _, x := range s.examples {
		if x.lines > 0 && (fewer && x.announced == x.size-x.lines || more && x.announced == x.size+x.lines) {
			n++
		}
	}
	return s.areAlike(n)
}

// isEstimate reports whether the server only estimates sizes, as Exchange does: a good
// share of the bodies differs, and several, each in another way, are longer than
// announced, and came twice the same. No body becomes longer by being cut off.
func (s *sizeTrust) isEstimate() bool {
	longer := map[int64]bool{}
	for _, x := range s.examples {
		isCounted := x.lines > 0 && (x.announced == x.size-x.lines || x.announced == x.size+x.lines)
		if x.isStable && !isCounted && x.size > x.announced {
			longer[x.size-x.announced] = true
		}
	}
	return len(longer) >= minAlike && s.other > s.exact/4
}

// verdict is what becomes of a body.
type verdict int

const (
	isMessage  verdict = iota // it is the message
	isAwaiting                // it is archived, and asked for again until its size agrees
	isDoubtful                // it may be the message: the message fails, and the octets are kept
	isNothing                 // it is not the message: that fails
)

// judge judges a body. reason says what is wrong with it; "": nothing.
func (s *sizeTrust) judge(md wire.Metadata, b *bodyTraits) (v verdict, reason string) {
	if server := noticeOf(b.head); server != "" {
		return isDoubtful, fmt.Sprintf("the server sent a notice in its place, that it can't be retrieved (%s)", server)
	}
	isShort := md.HasSize && b.size < md.Size
	switch {
	case !md.HasSize && b.size == 0:
		return isNothing, "the server sent an empty body, and does not say how long it is"
	case !md.HasSize || b.size == md.Size:
		return isMessage, ""
	case b.size == 0:
		return isNothing, fmt.Sprintf("the server sent an empty body, and announced %d octets", md.Size)
	case isShort && b.headerEnd < 0:
		return isNothing, fmt.Sprintf("the server sent %d octets without the end of the header, and announced %d", b.size, md.Size)
	case s.isKnown(md.Size, b):
		return isAwaiting, ""
	case isShort && b.hasOnlyHeader():
		return isNothing, fmt.Sprintf("the server sent %d octets, which are the header alone, and announced %d", b.size, md.Size)
	}
	return isDoubtful, fmt.Sprintf("the server sent %d octets, and announced %d", b.size, md.Size)
}
