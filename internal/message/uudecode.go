package message

import "bytes"

// uuDecoder decodes uuencode, which MIME messages name x-uuencode. It skips the lines
// before "begin" and after "end".
type uuDecoder struct {
	out          []byte
	partialLine  []byte // the current line so far
	started, bad bool
	ended        bool
}

// maxUULine limits the length of a line, in octets; the rest is ignored. 63 octets of
// data are 84 characters; the "begin" line has a file name.
const maxUULine = 300

func (d *uuDecoder) decode(p []byte) []byte {
	d.out = d.out[:0]
	for _, c := range p {
		switch {
		case c == '\r' || c == '\n':
			d.decodeLine(d.partialLine)
			d.partialLine = d.partialLine[:0]
		case len(d.partialLine) < maxUULine:
			d.partialLine = append(d.partialLine, c)
		}
	}
	return d.out
}

func (d *uuDecoder) decodeLine(s []byte) {
	switch {
	case !d.started:
		d.started = bytes.HasPrefix(s, []byte("begin "))
		return
	case d.ended || len(s) == 0:
		return
	case bytes.Equal(bytes.TrimRight(s, " "), []byte("end")):
		d.ended = true
		return
	}
	n := int(s[0]-' ') & 63
	s = s[1:]
	if s0 := (n + 2) / 3 * 4; len(s) < s0 { // a gateway removed spaces at the end
		s = append(s, bytes.Repeat([]byte{' '}, s0-len(s))...)
	}
	for ; n > 0; n, s = n-3, s[4:] {
		var bits uint32
		for _, c := range s[:4] {
			d.bad = d.bad || c < ' ' || c > '`'
			bits = bits<<6 | uint32(c-' ')&63
		}
		group := [3]byte{byte(bits >> 16), byte(bits >> 8), byte(bits)}
		d.out = append(d.out, group[:min(n, 3)]...)
	}
}

func (d *uuDecoder) end() []byte {
	d.out = d.out[:0]
	d.decodeLine(d.partialLine)
	d.partialLine = d.partialLine[:0]
	d.bad = d.bad || !d.ended
	return d.out
}

func (d *uuDecoder) broken() bool { return d.bad }
