package message

import (
	"strconv"
	"strings"
)

// look is whether an element shows, as mail programs show it. Only its own
// attributes and those around it are heeded, no style sheet: what that hides is
// shown here.
type look struct {
	gone    bool // whatever is in it
	unseen  bool // visibility: what is in it may say otherwise
	tiny    bool // font-size: the same
	clipped bool // it has no height, and hides what does not fit
}

func (l look) hides() bool { return l.gone || l.unseen || l.tiny || l.clipped }

// look returns how what comes next shows.
func (p *htmlPage) look() look {
	if len(p.open) == 0 {
		return look{}
	}
	return p.open[len(p.open)-1].look
}

// with returns the look of an element within one that has l.
func (l look) with(a attrs) look {
	l.gone = l.gone || a.hidden
	if a.style == "" {
		return l
	}
	flat, clips := false, false
	for decl := range strings.SplitSeq(strings.ToLower(a.style), ";") {
		name, value, _ := strings.Cut(decl, ":")
		value, _, _ = strings.Cut(value, "!")
		switch name, value = strings.TrimSpace(name), strings.TrimSpace(value); name {
		case "display":
			l.gone = l.gone || value == "none"
		case "visibility":
			l.unseen = value == "hidden" || value == "collapse"
		case "opacity":
			l.gone = l.gone || isZero(value, 0)
		case "font-size":
			l.tiny = isZero(value, 1)
		case "max-height", "height":
			flat = flat || isZero(value, 0)
		case "overflow":
			clips = clips || value == "hidden"
		}
	}
	l.clipped = l.clipped || flat && clips
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
