package message

import (
	"strconv"
	"strings"
)

// visibility tells whether mail programs show an element. It comes from the attributes of
// the element and of those that contain it. Style sheets are ignored: an element that only
// they hide counts as visible.
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

// withAttributes returns the visibility of an element inside one with visibility l. The
// attribute hidden, whatever its value, is a display: none that a style of the element
// overrides (WHATWG HTML 15.3.1).
func (l visibility) withAttributes(a attrs) visibility {
	own := display{isNone: a.hidden}
	flat, clips := false, false
	for decl := range strings.SplitSeq(strings.ToLower(a.style), ";") {
		name, value, _ := strings.Cut(decl, ":")
		value, priority, _ := strings.Cut(value, "!")
		switch name, value = strings.TrimSpace(name), strings.TrimSpace(value); name {
		case "display":
			own.declare(value, strings.TrimSpace(priority) == "important", a.hidden)
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
	l.isRemoved = l.isRemoved || own.isNone
	l.isClipped = l.isClipped || flat && clips
	return l
}

// display is what the declarations of one element say about its display.
type display struct{ isNone, isImportant bool }

// declare adds a declaration: the last valid one counts, but an important one before any
// other (CSS Cascade 6.1). revert is what the element's attributes say.
func (d *display) declare(value string, important, reverted bool) {
	if d.isImportant && !important {
		return
	}
	switch first, _, _ := strings.Cut(value, " "); first {
	case "none":
		d.isNone = true
	case "revert", "revert-layer":
		d.isNone = reverted
	case "block", "inline", "inline-block", "flow", "flow-root", "flex", "inline-flex", "grid", "inline-grid", "list-item", "contents", "run-in", "ruby", "math",
		"table", "inline-table", "table-row", "table-cell", "table-caption", "table-row-group", "table-header-group", "table-footer-group", "table-column", "table-column-group",
		"initial", "inherit", "unset", "-webkit-box", "-webkit-inline-box":
		d.isNone = false
	default: // no value of CSS: the declaration does not count
		return
	}
	d.isImportant = important
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
