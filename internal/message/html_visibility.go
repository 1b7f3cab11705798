package message

import (
	"strconv"
	"strings"
)

// visibility tells whether mail programs show an element. It comes from the attributes of
// the element and of those that contain it. Style sheets are ignored: what they hide is
// shown here.
type visibility struct {
	isRemoved   bool // with all elements inside
	isInvisible bool // by visibility; an element inside can reset it
	isTiny      bool // by font-size; an element inside can reset it
	isClipped   bool // it has no height and hides overflow
}

func (l visibility) isHidden() bool { return l.isRemoved || l.isInvisible || l.isTiny || l.isClipped }

// visibility returns the visibility of the innermost open element.
func (p *htmlPage) visibility() visibility {
	if len(p.open) == 0 {
		return visibility{}
	}
	return p.open[len(p.open)-1].visibility
}

// withAttributes returns the visibility of an element inside one with visibility l.
func (l visibility) withAttributes(a attrs) visibility {
	l.isRemoved = l.isRemoved || a.hidden
	if a.style == "" {
		return l
	}
	flat, clips := false, false
	for decl := range strings.SplitSeq(strings.ToLower(a.style), ";") {
		name, value, _ := strings.Cut(decl, ":")
		value, _, _ = strings.Cut(value, "!")
		switch name, value = strings.TrimSpace(name), strings.TrimSpace(value); name {
		case "display":
			l.isRemoved = l.isRemoved || value == "none"
		case "visibility":
			l.isInvisible = value == "hidden" || value == "collapse"
		case "opacity":
			l.isRemoved = l.isRemoved || isZero(value, 0)
		case "font-size":
			l.isTiny = isZero(value, 1)
		case "max-height", "height":
			flat = flat || isZero(value, 0)
		case "overflow":
			clips = clips || value == "hidden"
		}
	}
	l.isClipped = l.isClipped || flat && clips
	return l
}

// isZero reports whether a length is at most a number of pixels, or zero in another
// unit.
func isZero(value string, pixels float64) bool {
	number, px := strings.CutSuffix(value, "px")
	if !px {
		number, pixels = strings.TrimRight(value, "abcdefghijklmnopqrstuvwxyz%"), 0
	}
	n, err := strconv.ParseFloat(number, 64)
	return err == nil && n <= pixels && n >= 0
}
