package message

import (
	"strconv"
	"strings"
)

// visibility is whether an element shows, as mail programs show it. Only its own
// attributes and those around it are heeded, no style sheet: what that hides is
// shown here.
type visibility struct {
	isRemoved   bool // whatever is in it
	isInvisible bool // visibility: what is in it may say otherwise
	isTiny      bool // font-size: the same
	isClipped   bool // it has no height, and hides what does not fit
}

func (l visibility) isHidden() bool { return l.isRemoved || l.isInvisible || l.isTiny || l.isClipped }

// visibility returns how what comes next shows.
func (p *htmlPage) visibility() visibility {
	if len(p.open) == 0 {
		return visibility{}
	}
	return p.open[len(p.open)-1].visibility
}

// withAttributes returns the look of an element within one that has l.
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

// isZero says whether a length is at most that many pixels, nothing in other
// units.
func isZero(value string, pixels float64) bool {
	number, px := strings.CutSuffix(value, "px")
	if !px {
		number, pixels = strings.TrimRight(value, "abcdefghijklmnopqrstuvwxyz%"), 0
	}
	n, err := strconv.ParseFloat(number, 64)
	return err == nil && n <= pixels && n >= 0
}
